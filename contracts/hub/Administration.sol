// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IAdministration} from "../interfaces/IAdministration.sol";
import {HubStorage} from "./HubStorage.sol";

/// @title What the owner may do
abstract contract Administration is IAdministration, HubStorage {
    /// Above this a finalization with a callback would not fit in a block.
    uint256 private constant MAX_CALLBACK_GAS = 5_000_000;

    modifier onlyOwner() {
        if (msg.sender != _owner) revert NotTheOwner(msg.sender);
        _;
    }

    /// @inheritdoc IAdministration
    function owner() external view override returns (address) {
        return _owner;
    }

    /// @inheritdoc IAdministration
    function transferOwnership(address newOwner) external override onlyOwner {
        if (newOwner == address(0)) revert InvalidOwner(newOwner);
        _setOwner(newOwner);
    }

    /// @inheritdoc IAdministration
    function renounceOwnership() external override onlyOwner {
        _setOwner(address(0));
    }

    /// @inheritdoc IAdministration
    function createCategory(
        string calldata name_,
        string calldata description,
        uint256 workClockTimeRef
    ) external override onlyOwner returns (uint256 id) {
        if (workClockTimeRef > type(uint32).max) revert ValueTooHigh(workClockTimeRef, type(uint32).max);
        id = _categoryCount++;
        _categories[id] = CategoryState(uint32(workClockTimeRef), true, name_, description);
        emit CreateCategory(id, name_, description, workClockTimeRef);
    }

    /// @inheritdoc IAdministration
    function setTeeBroker(address broker) external override onlyOwner {
        _teeBroker = broker;
    }

    /// @inheritdoc IAdministration
    function setCallbackGas(uint256 gasLimit) external override onlyOwner {
        if (gasLimit > MAX_CALLBACK_GAS) revert ValueTooHigh(gasLimit, MAX_CALLBACK_GAS);
        _callbackGas = uint96(gasLimit);
    }

    function _setOwner(address newOwner) private {
        emit OwnershipTransferred(_owner, newOwner);
        _owner = newOwner;
    }
}
