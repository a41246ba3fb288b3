// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IEscrow} from "../interfaces/IEscrow.sol";
import {IPoco} from "../interfaces/IPoco.sol";
import {DealData} from "../libraries/DealCode.sol";
import {ContributionStatus} from "../libraries/Types.sol";
import {Accounts} from "./Accounts.sol";
import {Contributions} from "./Contributions.sol";

/// @title Who gets what at the end of a task
abstract contract Settlement is Accounts, Contributions {
    /// Pay for a task with consensus: the losers' stakes join the pool's price, the workers share by log2 of their
    /// weight, the scheduler keeps its ratio and what rounding leaves.
    function _settle(bytes32 taskId, DealData deal, Tally memory tally) internal {
        _paySuppliers(taskId, deal);
        address[] memory workers = tally.workers;
        uint256 stake = deal.workerStake();
        uint256 pot = deal.poolPrice() + stake * (workers.length - tally.revealed);
        uint256 forWorkers = (pot * (100 - deal.schedulerRewardRatio())) / 100;
        for (uint256 i = 0; i < workers.length; ++i) {
            address worker = workers[i];
            uint256 logWeight = tally.logWeights[i];
            if (logWeight == 0) {
                _seize(worker, stake, taskId);
                _accounts[worker].score = uint64((uint256(_accounts[worker].score) * 2) / 3);
                emit IPoco.FaultyContribution(worker, taskId);
                continue;
            }
            uint256 reward = (forWorkers * logWeight) / tally.totalLogWeight;
            pot -= reward;
            _unlock(worker, stake);
            _reward(worker, reward, taskId);
            if (workers.length > 1) {
                ++_accounts[worker].score;
                emit IPoco.AccurateContribution(worker, taskId);
            }
        }
        _reward(deal.poolOwner(), pot, taskId);
    }

    /// Pay for a task that its only worker finished in one step: no stake, no score.
    function _settleFast(bytes32 taskId, DealData deal) internal {
        _paySuppliers(taskId, deal);
        uint256 price = deal.poolPrice();
        uint256 forWorker = (price * (100 - deal.schedulerRewardRatio())) / 100;
        _reward(msg.sender, forWorker, taskId);
        _reward(deal.poolOwner(), price - forWorker, taskId);
    }

    /// Give back what a failed task has locked; the scheduler's stake goes to the kitty.
    function _refund(bytes32 taskId, DealData deal, address[] memory workers) internal {
        (, , uint256 datasetPrice) = deal.dataset();
        uint256 poolStake = _poolStake(deal);
        _unlock(deal.sponsor(), deal.appPrice() + datasetPrice + deal.poolPrice());
        _seize(deal.poolOwner(), poolStake, taskId);
        _accounts[KITTY].locked += uint96(poolStake);
        emit IEscrow.Reward(KITTY, poolStake, taskId);
        emit IEscrow.Lock(KITTY, poolStake);
        uint256 stake = deal.workerStake();
        for (uint256 i = 0; i < workers.length; ++i) _unlock(workers[i], stake);
    }

    /// Charge the payer, pay application and dataset, release the scheduler's stake and give it its part of the kitty.
    function _paySuppliers(bytes32 taskId, DealData deal) private {
        (, address datasetOwner, uint256 datasetPrice) = deal.dataset();
        uint256 appPrice = deal.appPrice();
        _seize(deal.sponsor(), appPrice + datasetPrice + deal.poolPrice(), taskId);
        if (appPrice > 0) _reward(deal.appOwner(), appPrice, taskId);
        if (datasetPrice > 0) _reward(datasetOwner, datasetPrice, taskId);
        _unlock(deal.poolOwner(), _poolStake(deal));
        uint256 kitty = _accounts[KITTY].locked;
        if (kitty > 0) {
            uint256 part = (kitty * KITTY_RATIO) / 100;
            if (part < KITTY_MIN) part = KITTY_MIN;
            if (part > kitty) part = kitty;
            _seize(KITTY, part, taskId);
            _reward(deal.poolOwner(), part, taskId);
        }
    }

    function _poolStake(DealData deal) private pure returns (uint256) {
        return (deal.poolPrice() * WORKERPOOL_STAKE_RATIO) / 100;
    }
}
