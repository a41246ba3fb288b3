// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRegistry} from "./IRegistry.sol";

/// Registry of workerpools. It keeps their policies too: the hub then learns all of a pool from one call.
interface IWorkerpoolRegistry is IRegistry {
    error NotAnEntry(address caller);

    function createWorkerpool(
        address _workerpoolOwner,
        string calldata _workerpoolDescription
    ) external returns (address);

    function predictWorkerpool(
        address _workerpoolOwner,
        string calldata _workerpoolDescription
    ) external view returns (address);

    /// @return owner Zero for what was not created here.
    /// @return workerStakeRatio Percent of the pool's price that a worker stakes.
    /// @return schedulerRewardRatio Percent of the pot that the scheduler keeps.
    function terms(
        address workerpool
    ) external view returns (address owner, uint256 workerStakeRatio, uint256 schedulerRewardRatio);

    /// @notice Change the policies of the calling workerpool.
    function setTerms(uint32 workerStakeRatio, uint8 schedulerRewardRatio) external;
}
