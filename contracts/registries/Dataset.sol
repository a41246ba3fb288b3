// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IDataset} from "../interfaces/IDataset.sol";
import {EntryCode} from "../libraries/EntryCode.sol";
import {RegistryEntry} from "./RegistryEntry.sol";

/// @title Dataset
contract Dataset is RegistryEntry, IDataset {
    /// @inheritdoc IDataset
    function m_datasetName() external view override returns (string memory name) {
        (name, , ) = _fields();
    }

    /// @inheritdoc IDataset
    function m_datasetMultiaddr() external view override returns (bytes memory multiaddr) {
        (, multiaddr, ) = _fields();
    }

    /// @inheritdoc IDataset
    function m_datasetChecksum() external view override returns (bytes32 checksum) {
        (, , checksum) = _fields();
    }

    function _fields() private view returns (string memory, bytes memory, bytes32) {
        return abi.decode(EntryCode.ownData(), (string, bytes, bytes32));
    }
}
