// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

/// What an application, a dataset and a workerpool have in common.
interface IRegistryEntry {
    /// @notice Who holds the entry's token in its registry.
    function owner() external view returns (address);

    function registry() external view returns (address);
}
