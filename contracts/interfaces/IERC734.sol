// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

/// The part of an ERC-734 key manager that says who belongs to a group.
interface IERC734 {
    /// @param key The account, as a left-padded word.
    /// @param purpose 4 for members of a group.
    function keyHasPurpose(bytes32 key, uint256 purpose) external view returns (bool);
}
