// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IWorkerpoolRegistry} from "../interfaces/IWorkerpoolRegistry.sol";
import {Registry} from "./Registry.sol";
import {Workerpool} from "./Workerpool.sol";

/// @title Registry of workerpools
contract WorkerpoolRegistry is Registry, IWorkerpoolRegistry {
    string public constant override name = "iExec Workerpool Registry (V5)";
    string public constant override symbol = "iExecWorkerpoolV5";

    uint32 private constant DEFAULT_WORKER_STAKE_RATIO = 30;
    uint8 private constant DEFAULT_SCHEDULER_REWARD_RATIO = 1;

    constructor() Registry(address(new Workerpool())) {}

    /// @inheritdoc IWorkerpoolRegistry
    function createWorkerpool(
        address _workerpoolOwner,
        string calldata _workerpoolDescription
    ) external override returns (address) {
        return
            _create(
                _workerpoolOwner,
                abi.encode(_workerpoolDescription),
                _pack(DEFAULT_WORKER_STAKE_RATIO, DEFAULT_SCHEDULER_REWARD_RATIO)
            );
    }

    /// @inheritdoc IWorkerpoolRegistry
    function predictWorkerpool(
        address _workerpoolOwner,
        string calldata _workerpoolDescription
    ) external view override returns (address) {
        return _predict(_workerpoolOwner, abi.encode(_workerpoolDescription));
    }

    /// @inheritdoc IWorkerpoolRegistry
    function terms(address workerpool) external view override returns (address, uint256, uint256) {
        Entry storage entry = _entries[uint160(workerpool)];
        uint48 packed = entry.terms;
        return (entry.owner, packed >> 8, uint8(packed));
    }

    /// @inheritdoc IWorkerpoolRegistry
    function setTerms(uint32 workerStakeRatio, uint8 schedulerRewardRatio) external override {
        Entry storage entry = _entries[uint160(msg.sender)];
        if (entry.owner == address(0)) revert NotAnEntry(msg.sender);
        entry.terms = _pack(workerStakeRatio, schedulerRewardRatio);
    }

    function _pack(uint32 workerStakeRatio, uint8 schedulerRewardRatio) private pure returns (uint48) {
        return (uint48(workerStakeRatio) << 8) | schedulerRewardRatio;
    }
}
