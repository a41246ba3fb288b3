// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IDatasetRegistry} from "../interfaces/IDatasetRegistry.sol";
import {Dataset} from "./Dataset.sol";
import {Registry} from "./Registry.sol";

/// @title Registry of datasets
contract DatasetRegistry is Registry, IDatasetRegistry {
    string public constant override name = "iExec Dataset Registry (V5)";
    string public constant override symbol = "iExecDatasetsV5";

    constructor() Registry(address(new Dataset())) {}

    /// @inheritdoc IDatasetRegistry
    function createDataset(
        address _datasetOwner,
        string calldata _datasetName,
        bytes calldata _datasetMultiaddr,
        bytes32 _datasetChecksum
    ) external override returns (address) {
        return _create(_datasetOwner, abi.encode(_datasetName, _datasetMultiaddr, _datasetChecksum), 0);
    }

    /// @inheritdoc IDatasetRegistry
    function predictDataset(
        address _datasetOwner,
        string calldata _datasetName,
        bytes calldata _datasetMultiaddr,
        bytes32 _datasetChecksum
    ) external view override returns (address) {
        return _predict(_datasetOwner, abi.encode(_datasetName, _datasetMultiaddr, _datasetChecksum));
    }
}
