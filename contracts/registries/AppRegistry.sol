// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IAppRegistry} from "../interfaces/IAppRegistry.sol";
import {App} from "./App.sol";
import {Registry} from "./Registry.sol";

/// @title Registry of applications
contract AppRegistry is Registry, IAppRegistry {
    string public constant override name = "iExec Application Registry (V5)";
    string public constant override symbol = "iExecAppsV5";

    constructor() Registry(address(new App())) {}

    /// @inheritdoc IAppRegistry
    function createApp(
        address _appOwner,
        string calldata _appName,
        string calldata _appType,
        bytes calldata _appMultiaddr,
        bytes32 _appChecksum,
        bytes calldata _appMREnclave
    ) external override returns (address) {
        return _create(_appOwner, abi.encode(_appName, _appType, _appMultiaddr, _appChecksum, _appMREnclave), 0);
    }

    /// @inheritdoc IAppRegistry
    function predictApp(
        address _appOwner,
        string calldata _appName,
        string calldata _appType,
        bytes calldata _appMultiaddr,
        bytes32 _appChecksum,
        bytes calldata _appMREnclave
    ) external view override returns (address) {
        return _predict(_appOwner, abi.encode(_appName, _appType, _appMultiaddr, _appChecksum, _appMREnclave));
    }
}
