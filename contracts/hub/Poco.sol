// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IEnergyLedger} from "../interfaces/IEnergyLedger.sol";
import {IOracleConsumer} from "../interfaces/IOracleConsumer.sol";
import {IPoco} from "../interfaces/IPoco.sol";
import {CodeStore} from "../libraries/CodeStore.sol";
import {Consensus} from "../libraries/Consensus.sol";
import {DealCode, DealData} from "../libraries/DealCode.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {Tags} from "../libraries/Tags.sol";
import {ContributionStatus, TaskStatus} from "../libraries/Types.sol";
import {Settlement} from "./Settlement.sol";

/// @title The life of a task
abstract contract Poco is IPoco, Settlement {
    IEnergyLedger private immutable _ledger;

    constructor(address ledger) {
        _ledger = IEnergyLedger(ledger);
    }

    /// @inheritdoc IPoco
    function initialize(bytes32 dealId, uint256 index) public override returns (bytes32 taskId) {
        address code = _deals[dealId];
        if (code == address(0)) revert DealNotFound(dealId);
        DealData deal = DealCode.load(code);
        uint256 first = deal.botFirst();
        uint256 size = deal.botSize();
        if (index < first || index - first >= size) revert IndexOutOfBag(index, first, size);
        taskId = keccak256(abi.encode(dealId, index));
        TaskState storage task = _tasks[taskId];
        if (task.status != TaskStatus.UNSET) revert TaskAlreadyInitialized(taskId);
        task.deal = code;
        task.offset = uint40(index - first);
        task.status = TaskStatus.ACTIVE;
        emit TaskInitialize(taskId, deal.workerpool());
    }

    /// @inheritdoc IPoco
    function initializeArray(
        bytes32[] calldata dealIds,
        uint256[] calldata indexes
    ) external override returns (bool) {
        _checkLengths(dealIds.length, indexes.length);
        for (uint256 i = 0; i < dealIds.length; ++i) initialize(dealIds[i], indexes[i]);
        return true;
    }

    /// @inheritdoc IPoco
    function contribute(
        bytes32 taskId,
        bytes32 resultHash,
        bytes32 resultSeal,
        address enclaveChallenge,
        bytes calldata enclaveSign,
        bytes calldata authorizationSign
    ) external override {
        TaskState storage task = _tasks[taskId];
        DealData deal = _openDeal(task, taskId);
        ContributionState storage contribution = task.contributions[msg.sender];
        if (contribution.status != ContributionStatus.UNSET) revert AlreadyContributed(taskId, msg.sender);
        _checkAuthorization(taskId, deal, enclaveChallenge, authorizationSign);
        _checkEnclave(resultHash, resultSeal, enclaveChallenge, enclaveSign);

        _lock(msg.sender, deal.workerStake());
        emit TaskContribute(taskId, msg.sender, resultHash);

        uint256 weight = Consensus.weight(_accounts[msg.sender].score);
        _append(task, contribution, ContributionStatus.CONTRIBUTED, resultHash, resultSeal, enclaveChallenge);
        contribution.logWeight = uint8(Consensus.log2(weight));
        if (_vote(task, contribution.dissents, resultHash, weight, deal.trust())) {
            task.status = TaskStatus.REVEALING;
            task.revealDeadline = uint40(block.timestamp + deal.timeref() * REVEAL_DEADLINE_RATIO);
            if (contribution.dissents) {
                task.dissentWon = true;
                task.dissentHash = resultHash;
            }
            emit TaskConsensus(taskId, resultHash);
        }
    }

    /// @inheritdoc IPoco
    function contributeAndFinalize(
        bytes32 taskId,
        bytes32 resultDigest,
        bytes calldata results,
        bytes calldata resultsCallback,
        address enclaveChallenge,
        bytes calldata enclaveSign,
        bytes calldata authorizationSign
    ) external override {
        DealData deal = _proveAlone(taskId, resultDigest, enclaveChallenge, enclaveSign, authorizationSign);
        _checkCallbackData(deal, resultDigest, resultsCallback);
        _archive(_tasks[taskId], results, resultsCallback);
        _settleFast(taskId, deal);
        bytes32 resultHash = _resultHash(taskId, resultDigest);
        emit TaskContribute(taskId, msg.sender, resultHash);
        emit TaskConsensus(taskId, resultHash);
        emit TaskReveal(taskId, msg.sender, resultDigest);
        emit TaskFinalize(taskId, results);
        _callBack(taskId, deal.callback(), resultsCallback);
    }

    /// @inheritdoc IPoco
    function reveal(bytes32 taskId, bytes32 resultDigest) external override {
        TaskState storage task = _tasks[taskId];
        _requireStatus(task, taskId, TaskStatus.REVEALING);
        if (task.revealDeadline <= block.timestamp) revert DeadlinePassed(task.revealDeadline);
        ContributionState storage contribution = task.contributions[msg.sender];
        if (contribution.status != ContributionStatus.CONTRIBUTED) {
            revert WrongContributionStatus(taskId, msg.sender, contribution.status);
        }
        bytes32 consensus = _consensus(task);
        if (_hashOf(task, contribution) != consensus) revert NotTheConsensus(taskId, msg.sender);
        bytes32 resultHash = _resultHash(taskId, resultDigest);
        if (resultHash != consensus) revert WrongDigest(consensus, resultHash);
        bytes32 seal = _resultSeal(msg.sender, taskId, resultDigest);
        if (contribution.proof != seal) revert WrongSeal(contribution.proof, seal);
        contribution.status = ContributionStatus.PROVED;
        contribution.proof = resultDigest;
        emit TaskReveal(taskId, msg.sender, resultDigest);
    }

    /// @inheritdoc IPoco
    function reopen(bytes32 taskId) external override {
        TaskState storage task = _tasks[taskId];
        DealData deal = _schedulersDeal(task, taskId);
        if (task.revealDeadline > block.timestamp) revert DeadlineNotReached(task.revealDeadline);
        bytes32 consensus = _consensus(task);
        address worker = task.lastContributor;
        while (worker != address(0)) {
            ContributionState storage contribution = task.contributions[worker];
            if (contribution.status == ContributionStatus.PROVED) revert AlreadyRevealed(1);
            if (_hashOf(task, contribution) == consensus) contribution.status = ContributionStatus.REJECTED;
            worker = contribution.previous;
        }
        if (task.dissentWon) {
            task.dissentWeight -= task.dissentGroups[consensus];
            delete task.dissentGroups[consensus];
            delete task.dissentHash;
            task.dissentWon = false;
        } else {
            task.firstWeight = 0;
        }
        task.status = TaskStatus.ACTIVE;
        task.revealDeadline = 0;
        emit TaskReopen(taskId);
    }

    /// @inheritdoc IPoco
    function finalize(bytes32 taskId, bytes calldata results, bytes calldata resultsCallback) external override {
        TaskState storage task = _tasks[taskId];
        DealData deal = _schedulersDeal(task, taskId);
        task.status = TaskStatus.COMPLETED;
        Tally memory tally = _tally(task);
        if (
            tally.revealed != tally.winners && (tally.revealed == 0 || task.revealDeadline > block.timestamp)
        ) revert RevealsMissing(tally.revealed, tally.winners, task.revealDeadline);
        _checkCallbackData(deal, tally.digest, resultsCallback);
        _archive(task, results, resultsCallback);
        _settle(taskId, deal, tally);
        emit TaskFinalize(taskId, results);
        _callBack(taskId, deal.callback(), resultsCallback);
    }

    /// @inheritdoc IPoco
    function claim(bytes32 taskId) public override {
        TaskState storage task = _tasks[taskId];
        TaskStatus status = task.status;
        if (status != TaskStatus.ACTIVE && status != TaskStatus.REVEALING) revert WrongTaskStatus(taskId, status);
        DealData deal = DealCode.load(task.deal);
        uint256 deadline = _finalDeadline(deal);
        if (deadline > block.timestamp) revert DeadlineNotReached(deadline);
        task.status = TaskStatus.FAILED;
        _refund(taskId, deal, _contributors(task));
        emit TaskClaimed(taskId);
    }

    /// @inheritdoc IPoco
    function claimArray(bytes32[] calldata taskIds) external override returns (bool) {
        for (uint256 i = 0; i < taskIds.length; ++i) claim(taskIds[i]);
        return true;
    }

    /// @inheritdoc IPoco
    function initializeAndClaimArray(
        bytes32[] calldata dealIds,
        uint256[] calldata indexes
    ) external override returns (bool) {
        _checkLengths(dealIds.length, indexes.length);
        for (uint256 i = 0; i < dealIds.length; ++i) claim(initialize(dealIds[i], indexes[i]));
        return true;
    }

    /// Enter the caller as the one contributor of a task, revealed and in consensus.
    function _proveAlone(
        bytes32 taskId,
        bytes32 resultDigest,
        address enclaveChallenge,
        bytes calldata enclaveSign,
        bytes calldata authorizationSign
    ) private returns (DealData deal) {
        TaskState storage task = _tasks[taskId];
        deal = _openDeal(task, taskId);
        if (task.lastContributor != address(0)) revert HasContributors(taskId);
        if (deal.trust() != 1) revert TrustNotOne(deal.trust());
        _checkAuthorization(taskId, deal, enclaveChallenge, authorizationSign);
        bytes32 resultHash = _resultHash(taskId, resultDigest);
        _checkEnclave(resultHash, _resultSeal(msg.sender, taskId, resultDigest), enclaveChallenge, enclaveSign);
        _append(
            task,
            task.contributions[msg.sender],
            ContributionStatus.PROVED,
            resultHash,
            resultDigest,
            enclaveChallenge
        );
        task.status = TaskStatus.COMPLETED;
        task.revealDeadline = uint40(block.timestamp + deal.timeref() * REVEAL_DEADLINE_RATIO);
    }

    /// The deal of a task that takes contributions now.
    function _openDeal(TaskState storage task, bytes32 taskId) private view returns (DealData deal) {
        _requireStatus(task, taskId, TaskStatus.ACTIVE);
        deal = DealCode.load(task.deal);
        uint256 deadline = deal.startTime() + deal.timeref() * CONTRIBUTION_DEADLINE_RATIO;
        if (deadline <= block.timestamp) revert DeadlinePassed(deadline);
    }

    /// The deal of a task in its reveal phase, for its scheduler.
    function _schedulersDeal(TaskState storage task, bytes32 taskId) private view returns (DealData deal) {
        _requireStatus(task, taskId, TaskStatus.REVEALING);
        deal = DealCode.load(task.deal);
        if (msg.sender != deal.poolOwner()) revert NotTheScheduler(msg.sender, deal.poolOwner());
        uint256 deadline = _finalDeadline(deal);
        if (deadline <= block.timestamp) revert DeadlinePassed(deadline);
    }

    function _requireStatus(TaskState storage task, bytes32 taskId, TaskStatus wanted) private view {
        if (task.status != wanted) revert WrongTaskStatus(taskId, task.status);
    }

    /// The scheduler, or the broker of enclaves if there is one, has let this worker contribute.
    function _checkAuthorization(
        bytes32 taskId,
        DealData deal,
        address enclaveChallenge,
        bytes calldata signature
    ) private view {
        if (deal.hasTag()) _checkTag(taskId, deal, enclaveChallenge);
        address signer = deal.poolOwner();
        if (enclaveChallenge != address(0)) {
            if (_teeBroker != address(0)) signer = _teeBroker;
        }
        bytes32 message = Signatures.personalMessage(
            keccak256(abi.encodePacked(msg.sender, taskId, enclaveChallenge))
        );
        if (!Signatures.isValid(signer, message, signature)) revert InvalidAuthorization(signer, msg.sender, taskId);
    }

    /// The worker may do what the deal asks for.
    function _checkTag(bytes32 taskId, DealData deal, address enclaveChallenge) private view {
        uint256 tag = deal.tag();
        if (tag & Tags.ENCLAVE != 0 && enclaveChallenge == address(0)) revert EnclaveRequired(taskId);
        if (tag & Tags.GREEN != 0 && !_ledger.isGreen(msg.sender, deal.workerpool())) {
            revert NotNetPositive(msg.sender, deal.workerpool());
        }
    }

    function _checkEnclave(
        bytes32 resultHash,
        bytes32 resultSeal,
        address enclaveChallenge,
        bytes calldata signature
    ) private view {
        if (enclaveChallenge == address(0)) return;
        bytes32 message = Signatures.personalMessage(keccak256(abi.encode(resultHash, resultSeal)));
        if (!Signatures.isValid(enclaveChallenge, message, signature)) revert InvalidEnclaveSignature(enclaveChallenge);
    }

    function _checkCallbackData(DealData deal, bytes32 digest, bytes calldata resultsCallback) private pure {
        if (resultsCallback.length == 0 && deal.callback() == address(0)) return;
        bytes32 actual = keccak256(resultsCallback);
        if (actual != digest) revert WrongCallbackData(digest, actual);
    }

    /// Link the caller's contribution behind the others.
    function _append(
        TaskState storage task,
        ContributionState storage contribution,
        ContributionStatus status,
        bytes32 resultHash,
        bytes32 proof,
        address enclaveChallenge
    ) private {
        address previous = task.lastContributor;
        contribution.previous = previous;
        contribution.status = status;
        contribution.proof = proof;
        if (previous == address(0)) {
            task.firstHash = resultHash;
        } else {
            uint16 position = task.contributions[previous].position + 1;
            if (position == MAX_CONTRIBUTORS) revert TooManyContributors(MAX_CONTRIBUTORS);
            contribution.position = position;
            if (task.firstHash != resultHash) {
                contribution.dissents = true;
                contribution.resultHash = resultHash;
            }
        }
        if (enclaveChallenge != address(0)) {
            contribution.hasEnclave = true;
            contribution.enclaveChallenge = enclaveChallenge;
        }
        task.lastContributor = msg.sender;
    }

    /// Add a vote; whether its result has consensus now.
    function _vote(
        TaskState storage task,
        bool dissents,
        bytes32 resultHash,
        uint256 weight,
        uint256 trust
    ) private returns (bool) {
        uint256 group;
        uint256 others;
        if (dissents) {
            uint256 before = task.dissentGroups[resultHash];
            group = Consensus.grow(before, weight);
            others = task.hasDissent ? task.dissentWeight - before : 0;
            task.dissentGroups[resultHash] = group;
            task.dissentWeight = others + group;
            task.hasDissent = true;
            others += task.firstWeight;
        } else {
            group = Consensus.grow(task.firstWeight, weight);
            if (group > type(uint88).max) revert GroupTooHeavy(group);
            task.firstWeight = uint88(group);
            if (task.hasDissent) others = task.dissentWeight;
        }
        return Consensus.reached(group, 1 + others + group, trust);
    }

    /// Keep the result as code: `results`, then `resultsCallback`.
    function _archive(TaskState storage task, bytes calldata results, bytes calldata resultsCallback) private {
        if (results.length + resultsCallback.length == 0) return;
        task.archive = CodeStore.write(bytes.concat(results, resultsCallback));
        task.resultsLength = uint32(results.length);
    }

    /// Hand the result to the requester's contract; whatever that does, the task is finished.
    function _callBack(bytes32 taskId, address target, bytes calldata resultsCallback) private {
        if (target == address(0)) return;
        uint256 gasLimit = _callbackGas;
        bytes memory message = abi.encodeCall(IOracleConsumer.receiveResult, (taskId, resultsCallback));
        assembly ("memory-safe") {
            // what comes back is not copied: it could be made long to burn gas
            pop(call(gasLimit, target, 0, add(message, 32), mload(message), 0, 0))
        }
        // a call gets at most 63/64 of what is left: if less remains, the callback did not get its gas
        if (gasleft() <= gasLimit / 63) revert NotEnoughGasForCallback(gasleft());
    }
}
