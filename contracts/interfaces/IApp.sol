// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRegistryEntry} from "./IRegistryEntry.sol";

/// An application: a container image pinned by its checksum.
interface IApp is IRegistryEntry {
    function m_appName() external view returns (string memory);

    function m_appType() external view returns (string memory);

    function m_appMultiaddr() external view returns (bytes memory);

    function m_appChecksum() external view returns (bytes32);

    function m_appMREnclave() external view returns (bytes memory);
}
