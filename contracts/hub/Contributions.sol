// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IEscrow} from "../interfaces/IEscrow.sol";
import {DealData} from "../libraries/DealCode.sol";
import {ContributionStatus} from "../libraries/Types.sol";
import {HubStorage} from "./HubStorage.sol";

/// @title Reading a task's contributions
abstract contract Contributions is HubStorage {
    /// The contributions of a task in their order. `logWeights` is zero where a worker gets nothing.
    struct Tally {
        address[] workers;
        uint256[] logWeights;
        uint256 totalLogWeight;
        uint256 revealed;
        uint256 winners;
        bytes32 digest;
    }

    function _tally(TaskState storage task) internal view returns (Tally memory tally) {
        address[] memory workers = _contributors(task);
        tally.workers = workers;
        tally.logWeights = new uint256[](workers.length);
        bool dissentWon = task.dissentWon;
        for (uint256 i = 0; i < workers.length; ++i) {
            ContributionState storage contribution = task.contributions[workers[i]];
            ContributionStatus status = contribution.status;
            if (status == ContributionStatus.PROVED) {
                uint256 logWeight = contribution.logWeight;
                tally.logWeights[i] = logWeight;
                tally.totalLogWeight += logWeight;
                ++tally.revealed;
                ++tally.winners;
                if (tally.digest == 0) tally.digest = contribution.proof;
            } else if (
                status == ContributionStatus.CONTRIBUTED &&
                (dissentWon ? contribution.resultHash == task.dissentHash : !contribution.dissents)
            ) {
                ++tally.winners;
            }
        }
    }

    /// Workers of a task from the first to the last.
    function _contributors(TaskState storage task) internal view returns (address[] memory workers) {
        address worker = task.lastContributor;
        if (worker == address(0)) return workers;
        uint256 left = uint256(task.contributions[worker].position) + 1;
        workers = new address[](left);
        while (left > 0) {
            workers[--left] = worker;
            worker = task.contributions[worker].previous;
        }
    }

    /// The hash in consensus, once there is one.
    function _consensus(TaskState storage task) internal view returns (bytes32) {
        return task.dissentWon ? task.dissentHash : task.firstHash;
    }

    function _hashOf(
        TaskState storage task,
        ContributionState storage contribution
    ) internal view returns (bytes32) {
        return contribution.dissents ? contribution.resultHash : task.firstHash;
    }

    function _finalDeadline(DealData deal) internal pure returns (uint256) {
        return deal.startTime() + deal.timeref() * FINAL_DEADLINE_RATIO;
    }

    function _resultHash(bytes32 taskId, bytes32 digest) internal pure returns (bytes32) {
        return keccak256(abi.encode(taskId, digest));
    }

    function _resultSeal(address worker, bytes32 taskId, bytes32 digest) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(worker, taskId, digest));
    }

    function _checkLengths(uint256 first, uint256 second) internal pure {
        if (first != second) revert IEscrow.ArrayLengthMismatch(first, second);
    }
}
