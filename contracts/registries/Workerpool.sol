// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IWorkerpool} from "../interfaces/IWorkerpool.sol";
import {IWorkerpoolRegistry} from "../interfaces/IWorkerpoolRegistry.sol";
import {EntryCode} from "../libraries/EntryCode.sol";
import {RegistryEntry} from "./RegistryEntry.sol";

/// @title Workerpool
contract Workerpool is RegistryEntry, IWorkerpool {
    /// @inheritdoc IWorkerpool
    function m_workerpoolDescription() external view override returns (string memory) {
        return abi.decode(EntryCode.ownData(), (string));
    }

    /// @inheritdoc IWorkerpool
    function m_workerStakeRatioPolicy() external view override returns (uint256 ratio) {
        (, ratio, ) = IWorkerpoolRegistry(registry).terms(address(this));
    }

    /// @inheritdoc IWorkerpool
    function m_schedulerRewardRatioPolicy() external view override returns (uint256 ratio) {
        (, , ratio) = IWorkerpoolRegistry(registry).terms(address(this));
    }

    /// @inheritdoc IWorkerpool
    function changePolicy(
        uint256 _newWorkerStakeRatioPolicy,
        uint256 _newSchedulerRewardRatioPolicy
    ) external override {
        (address owner_, uint256 stakeRatio, uint256 rewardRatio) = IWorkerpoolRegistry(registry).terms(address(this));
        if (msg.sender != owner_) revert NotTheOwner(msg.sender, owner_);
        if (_newWorkerStakeRatioPolicy > type(uint32).max) {
            revert RatioTooHigh(_newWorkerStakeRatioPolicy, type(uint32).max);
        }
        if (_newSchedulerRewardRatioPolicy > 100) revert RatioTooHigh(_newSchedulerRewardRatioPolicy, 100);
        IWorkerpoolRegistry(registry).setTerms(
            uint32(_newWorkerStakeRatioPolicy),
            uint8(_newSchedulerRewardRatioPolicy)
        );
        emit PolicyUpdate(stakeRatio, _newWorkerStakeRatioPolicy, rewardRatio, _newSchedulerRewardRatioPolicy);
    }
}
