// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRegistry} from "../interfaces/IRegistry.sol";
import {IRegistryEntry} from "../interfaces/IRegistryEntry.sol";

/// @title Base of what a registry creates: owned by whoever holds its token
abstract contract RegistryEntry is IRegistryEntry {
    address public immutable override registry = msg.sender;

    /// @inheritdoc IRegistryEntry
    function owner() public view override returns (address) {
        return IRegistry(registry).ownerOf(uint160(address(this)));
    }
}
