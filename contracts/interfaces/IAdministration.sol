// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

/// What the owner of a hub may do. None of it moves an account's money, and all of it can be renounced.
interface IAdministration {
    event OwnershipTransferred(address indexed previousOwner, address indexed newOwner);
    event CreateCategory(uint256 catid, string name, string description, uint256 workClockTimeRef);

    error NotTheOwner(address caller);
    error InvalidOwner(address owner);
    error ValueTooHigh(uint256 value, uint256 limit);

    function owner() external view returns (address);

    function transferOwnership(address newOwner) external;

    function renounceOwnership() external;

    /// @notice Add a class of tasks; none is ever changed or removed.
    /// @param workClockTimeRef The longest run in seconds.
    function createCategory(
        string calldata name,
        string calldata description,
        uint256 workClockTimeRef
    ) external returns (uint256);

    /// @notice Who signs authorisations of enclaves in place of the schedulers; zero: the schedulers.
    function setTeeBroker(address broker) external;

    /// @notice Gas that a callback gets.
    function setCallbackGas(uint256 gasLimit) external;
}
