// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IApp} from "../interfaces/IApp.sol";
import {EntryCode} from "../libraries/EntryCode.sol";
import {RegistryEntry} from "./RegistryEntry.sol";

/// @title Application
contract App is RegistryEntry, IApp {
    /// @inheritdoc IApp
    function m_appName() external view override returns (string memory name) {
        (name, , , , ) = _fields();
    }

    /// @inheritdoc IApp
    function m_appType() external view override returns (string memory kind) {
        (, kind, , , ) = _fields();
    }

    /// @inheritdoc IApp
    function m_appMultiaddr() external view override returns (bytes memory multiaddr) {
        (, , multiaddr, , ) = _fields();
    }

    /// @inheritdoc IApp
    function m_appChecksum() external view override returns (bytes32 checksum) {
        (, , , checksum, ) = _fields();
    }

    /// @inheritdoc IApp
    function m_appMREnclave() external view override returns (bytes memory mrenclave) {
        (, , , , mrenclave) = _fields();
    }

    function _fields() private view returns (string memory, string memory, bytes memory, bytes32, bytes memory) {
        return abi.decode(EntryCode.ownData(), (string, string, bytes, bytes32, bytes));
    }
}
