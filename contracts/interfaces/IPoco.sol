// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ContributionStatus, TaskStatus} from "../libraries/Types.sol";

/// Proof of Contribution: the life of a task from a deal to payment.
interface IPoco {
    event TaskInitialize(bytes32 indexed taskid, address indexed workerpool);
    event TaskContribute(bytes32 indexed taskid, address indexed worker, bytes32 hash);
    event TaskConsensus(bytes32 indexed taskid, bytes32 consensus);
    event TaskReveal(bytes32 indexed taskid, address indexed worker, bytes32 digest);
    event TaskReopen(bytes32 indexed taskid);
    event TaskFinalize(bytes32 indexed taskid, bytes results);
    event TaskClaimed(bytes32 indexed taskid);
    event AccurateContribution(address indexed worker, bytes32 indexed taskid);
    event FaultyContribution(address indexed worker, bytes32 indexed taskid);

    error DealNotFound(bytes32 dealId);
    error IndexOutOfBag(uint256 index, uint256 first, uint256 size);
    error TaskAlreadyInitialized(bytes32 taskId);
    error WrongTaskStatus(bytes32 taskId, TaskStatus status);
    error DeadlinePassed(uint256 deadline);
    error DeadlineNotReached(uint256 deadline);
    error AlreadyContributed(bytes32 taskId, address worker);
    error EnclaveRequired(bytes32 taskId);
    error NotNetPositive(address worker, address workerpool);
    error InvalidAuthorization(address signer, address worker, bytes32 taskId);
    error InvalidEnclaveSignature(address enclave);
    error TooManyContributors(uint256 limit);
    error GroupTooHeavy(uint256 weight);
    error WrongContributionStatus(bytes32 taskId, address worker, ContributionStatus status);
    error NotTheConsensus(bytes32 taskId, address worker);
    error WrongDigest(bytes32 expectedHash, bytes32 actualHash);
    error WrongSeal(bytes32 expectedSeal, bytes32 actualSeal);
    error NotTheScheduler(address caller, address scheduler);
    error RevealsMissing(uint256 revealed, uint256 winners, uint256 deadline);
    error AlreadyRevealed(uint256 revealed);
    error WrongCallbackData(bytes32 digest, bytes32 actual);
    error TrustNotOne(uint256 trust);
    error HasContributors(bytes32 taskId);
    error NotEnoughGasForCallback(uint256 left);

    /// @notice Start the task of that index in a deal's bag.
    /// @return The task: keccak256(deal id, index).
    function initialize(bytes32 dealId, uint256 index) external returns (bytes32);

    function initializeArray(bytes32[] calldata dealIds, uint256[] calldata indexes) external returns (bool);

    /// @notice Commit to a result and stake on it.
    /// @param resultHash keccak256(task, digest)
    /// @param resultSeal keccak256(worker, task, digest)
    /// @param authorizationSign The pool owner's signature of keccak256(worker, task, enclave), as a personal message.
    function contribute(
        bytes32 taskId,
        bytes32 resultHash,
        bytes32 resultSeal,
        address enclaveChallenge,
        bytes calldata enclaveSign,
        bytes calldata authorizationSign
    ) external;

    /// @notice Contribute, reveal and finalize at once: trust 1, nobody has contributed; no stake, no score.
    function contributeAndFinalize(
        bytes32 taskId,
        bytes32 resultDigest,
        bytes calldata results,
        bytes calldata resultsCallback,
        address enclaveChallenge,
        bytes calldata enclaveSign,
        bytes calldata authorizationSign
    ) external;

    /// @notice Show the digest behind a contribution that is in the consensus.
    function reveal(bytes32 taskId, bytes32 resultDigest) external;

    /// @notice Take contributions again: nobody of the consensus revealed in time (scheduler only).
    function reopen(bytes32 taskId) external;

    /// @notice Publish the result and pay (scheduler only).
    /// @param resultsCallback Bytes whose keccak256 is the digest if the deal has a callback, else empty or the same.
    function finalize(bytes32 taskId, bytes calldata results, bytes calldata resultsCallback) external;

    /// @notice Refund a task that was not finalized before its final deadline.
    function claim(bytes32 taskId) external;

    function claimArray(bytes32[] calldata taskIds) external returns (bool);

    function initializeAndClaimArray(bytes32[] calldata dealIds, uint256[] calldata indexes) external returns (bool);
}
