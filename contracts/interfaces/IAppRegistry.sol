// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRegistry} from "./IRegistry.sol";

/// Registry of applications.
interface IAppRegistry is IRegistry {
    /// @notice Create an application for `_appOwner`; anyone may, the owner is paid.
    /// @return The application, at the address that `predictApp` names. The same data and owner only once.
    function createApp(
        address _appOwner,
        string calldata _appName,
        string calldata _appType,
        bytes calldata _appMultiaddr,
        bytes32 _appChecksum,
        bytes calldata _appMREnclave
    ) external returns (address);

    function predictApp(
        address _appOwner,
        string calldata _appName,
        string calldata _appType,
        bytes calldata _appMultiaddr,
        bytes32 _appChecksum,
        bytes calldata _appMREnclave
    ) external view returns (address);
}
