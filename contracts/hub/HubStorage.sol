// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ContributionStatus, TaskStatus} from "../libraries/Types.sol";

/// @title What the hub keeps
/// @notice Shared by the hub and its extension, which runs in the hub's storage: append only.
abstract contract HubStorage {
    uint256 internal constant CONTRIBUTION_DEADLINE_RATIO = 7;
    uint256 internal constant REVEAL_DEADLINE_RATIO = 2;
    uint256 internal constant FINAL_DEADLINE_RATIO = 10;
    uint256 internal constant WORKERPOOL_STAKE_RATIO = 30;
    uint256 internal constant KITTY_RATIO = 10;
    uint256 internal constant KITTY_MIN = 1e9;
    address internal constant KITTY = 0x99c2268479b93fDe36232351229815DF80837e23;
    uint256 internal constant GROUPMEMBER_PURPOSE = 4;
    /// A task with more could become too dear to settle in one transaction, and what it locks would be lost.
    uint16 internal constant MAX_CONTRIBUTORS = 128;

    /// Money and reputation of an account in one slot: a contribution or a payment touches all of it.
    struct AccountState {
        uint96 stake;
        uint96 locked;
        uint64 score;
    }

    struct OrderState {
        address presigner;
        uint96 consumed;
    }

    struct CategoryState {
        uint32 workClockTimeRef;
        bool exists;
        string name;
        string description;
    }

    /// Contributions of a task are linked from the last one back, in place of an array.
    struct ContributionState {
        address previous;
        uint16 position;
        ContributionStatus status;
        uint8 logWeight;
        bool dissents;
        bool hasEnclave;
        /// the seal, and once revealed the digest, from which the seal follows
        bytes32 proof;
        /// kept only where it differs from the task's first hash
        bytes32 resultHash;
        address enclaveChallenge;
    }

    struct TaskState {
        /// the deal's code
        address deal;
        uint40 revealDeadline;
        /// index of the task in the deal, from its first one
        uint40 offset;
        TaskStatus status;
        /// whether the consensus is another hash than the first
        bool dissentWon;
        address lastContributor;
        /// weight of the group of the first hash
        uint88 firstWeight;
        bool hasDissent;
        bytes32 firstHash;
        /// code that holds `results` and then `resultsCallback`
        address archive;
        uint32 resultsLength;
        bytes32 dissentHash;
        uint256 dissentWeight;
        mapping(bytes32 resultHash => uint256 weight) dissentGroups;
        mapping(address worker => ContributionState) contributions;
    }

    mapping(address account => AccountState) internal _accounts;
    mapping(bytes32 orderHash => OrderState) internal _orders;
    mapping(bytes32 dealId => address code) internal _deals;
    mapping(bytes32 taskId => TaskState) internal _tasks;
    mapping(uint256 id => CategoryState) internal _categories;
    uint256 internal _categoryCount;
    address internal _owner;
    uint96 internal _totalSupply;
    address internal _teeBroker;
    uint96 internal _callbackGas;
    mapping(address owner => mapping(address spender => uint256)) internal _allowances;
}
