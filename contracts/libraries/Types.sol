// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

/// Offer of an application's owner. `sign` is not part of the signed struct.
struct AppOrder {
    address app;
    uint256 appprice;
    uint256 volume;
    bytes32 tag;
    address datasetrestrict;
    address workerpoolrestrict;
    address requesterrestrict;
    bytes32 salt;
    bytes sign;
}

/// Offer of a dataset's owner.
struct DatasetOrder {
    address dataset;
    uint256 datasetprice;
    uint256 volume;
    bytes32 tag;
    address apprestrict;
    address workerpoolrestrict;
    address requesterrestrict;
    bytes32 salt;
    bytes sign;
}

/// Offer of a workerpool's owner, the scheduler.
struct WorkerpoolOrder {
    address workerpool;
    uint256 workerpoolprice;
    uint256 volume;
    bytes32 tag;
    uint256 category;
    uint256 trust;
    address apprestrict;
    address datasetrestrict;
    address requesterrestrict;
    bytes32 salt;
    bytes sign;
}

/// Demand of a requester. `workerpool` is a restriction, the other resources are exact.
struct RequestOrder {
    address app;
    uint256 appmaxprice;
    address dataset;
    uint256 datasetmaxprice;
    address workerpool;
    uint256 workerpoolmaxprice;
    address requester;
    uint256 volume;
    bytes32 tag;
    uint256 category;
    uint256 trust;
    address beneficiary;
    address callback;
    string params;
    bytes32 salt;
    bytes sign;
}

/// What an owner may do to an order on chain.
enum OrderOperation {
    SIGN,
    CLOSE
}

struct AppOrderOperation {
    AppOrder order;
    OrderOperation operation;
    bytes sign;
}

struct DatasetOrderOperation {
    DatasetOrder order;
    OrderOperation operation;
    bytes sign;
}

struct WorkerpoolOrderOperation {
    WorkerpoolOrder order;
    OrderOperation operation;
    bytes sign;
}

struct RequestOrderOperation {
    RequestOrder order;
    OrderOperation operation;
    bytes sign;
}

struct EIP712Domain {
    string name;
    string version;
    uint256 chainId;
    address verifyingContract;
}

/// Money of an account in nRLC: what it may spend and what is locked in deals and contributions.
struct Account {
    uint256 stake;
    uint256 locked;
}

/// A class of tasks by their longest run time in seconds.
struct Category {
    string name;
    string description;
    uint256 workClockTimeRef;
}

/// A party to a deal: the resource, its owner and its price per task (nRLC) at the time of the match.
struct Resource {
    address pointer;
    address owner;
    uint256 price;
}

struct Deal {
    Resource app;
    Resource dataset;
    Resource workerpool;
    uint256 trust;
    uint256 category;
    bytes32 tag;
    address requester;
    address beneficiary;
    address callback;
    string params;
    uint256 startTime;
    uint256 botFirst;
    uint256 botSize;
    uint256 workerStake;
    uint256 schedulerRewardRatio;
    address sponsor;
}

enum TaskStatus {
    UNSET,
    ACTIVE,
    REVEALING,
    COMPLETED,
    FAILED
}

struct Task {
    TaskStatus status;
    bytes32 dealid;
    uint256 idx;
    uint256 timeref;
    uint256 contributionDeadline;
    uint256 revealDeadline;
    uint256 finalDeadline;
    bytes32 consensusValue;
    uint256 revealCounter;
    uint256 winnerCounter;
    address[] contributors;
    bytes32 resultDigest;
    bytes results;
    uint256 resultsTimestamp;
    bytes resultsCallback;
}

enum ContributionStatus {
    UNSET,
    CONTRIBUTED,
    PROVED,
    REJECTED
}

struct Contribution {
    ContributionStatus status;
    bytes32 resultHash;
    bytes32 resultSeal;
    address enclaveChallenge;
    uint256 weight;
}

struct AppInfo {
    address owner;
    string m_appName;
    string m_appType;
    bytes m_appMultiaddr;
    bytes32 m_appChecksum;
    bytes m_appMREnclave;
}

struct DatasetInfo {
    address owner;
    string m_datasetName;
    bytes m_datasetMultiaddr;
    bytes32 m_datasetChecksum;
}

struct WorkerpoolInfo {
    address owner;
    string m_workerpoolDescription;
    uint256 m_workerStakeRatioPolicy;
    uint256 m_schedulerRewardRatioPolicy;
}
