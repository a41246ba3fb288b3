// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRegistryEntry} from "./IRegistryEntry.sol";

/// A pool of workers; its owner is the scheduler.
interface IWorkerpool is IRegistryEntry {
    event PolicyUpdate(
        uint256 oldWorkerStakeRatioPolicy,
        uint256 newWorkerStakeRatioPolicy,
        uint256 oldSchedulerRewardRatioPolicy,
        uint256 newSchedulerRewardRatioPolicy
    );

    error NotTheOwner(address caller, address owner);
    error RatioTooHigh(uint256 ratio, uint256 limit);

    function m_workerpoolDescription() external view returns (string memory);

    /// @notice Percent of the pool's price that a worker stakes on a contribution.
    function m_workerStakeRatioPolicy() external view returns (uint256);

    /// @notice Percent of the reward pot that the scheduler keeps.
    function m_schedulerRewardRatioPolicy() external view returns (uint256);

    /// @notice Change both policies for future deals (owner only).
    function changePolicy(uint256 _newWorkerStakeRatioPolicy, uint256 _newSchedulerRewardRatioPolicy) external;
}
