// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRegistryEntry} from "./IRegistryEntry.sol";

/// A dataset: a file pinned by its checksum.
interface IDataset is IRegistryEntry {
    function m_datasetName() external view returns (string memory);

    function m_datasetMultiaddr() external view returns (bytes memory);

    function m_datasetChecksum() external view returns (bytes32);
}
