// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRegistry} from "./IRegistry.sol";

/// Registry of datasets.
interface IDatasetRegistry is IRegistry {
    function createDataset(
        address _datasetOwner,
        string calldata _datasetName,
        bytes calldata _datasetMultiaddr,
        bytes32 _datasetChecksum
    ) external returns (address);

    function predictDataset(
        address _datasetOwner,
        string calldata _datasetName,
        bytes calldata _datasetMultiaddr,
        bytes32 _datasetChecksum
    ) external view returns (address);
}
