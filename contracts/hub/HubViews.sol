// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IApp} from "../interfaces/IApp.sol";
import {IDataset} from "../interfaces/IDataset.sol";
import {IHubViews} from "../interfaces/IHubViews.sol";
import {IMarketplace} from "../interfaces/IMarketplace.sol";
import {IRlc} from "../interfaces/IRlc.sol";
import {IWorkerpool} from "../interfaces/IWorkerpool.sol";
import {CodeStore} from "../libraries/CodeStore.sol";
import {DealCode, DealData} from "../libraries/DealCode.sol";
import {OrderHash} from "../libraries/OrderHash.sol";
import {
    Account,
    AppInfo,
    Category,
    Contribution,
    ContributionStatus,
    DatasetInfo,
    Deal,
    EIP712Domain,
    Task,
    TaskStatus,
    WorkerpoolInfo
} from "../libraries/Types.sol";
import {Contributions} from "./Contributions.sol";
import {Parties} from "./Parties.sol";

/// @title All that can be read, in the shapes of the interface
abstract contract HubViews is Parties, Contributions {
    string public constant override name = "Staked RLC";
    string public constant override symbol = "SRLC";

    uint256 public constant override contribution_deadline_ratio = CONTRIBUTION_DEADLINE_RATIO;
    uint256 public constant override reveal_deadline_ratio = REVEAL_DEADLINE_RATIO;
    uint256 public constant override final_deadline_ratio = FINAL_DEADLINE_RATIO;
    uint256 public constant override workerpool_stake_ratio = WORKERPOOL_STAKE_RATIO;
    uint256 public constant override kitty_ratio = KITTY_RATIO;
    uint256 public constant override kitty_min = KITTY_MIN;
    address public constant override kitty_address = KITTY;
    uint256 public constant override groupmember_purpose = GROUPMEMBER_PURPOSE;

    /// @inheritdoc IHubViews
    function viewDeal(bytes32 id) external view override returns (Deal memory deal) {
        address code = _deals[id];
        if (code != address(0)) deal = DealCode.view_(code);
    }

    /// @inheritdoc IHubViews
    function viewTask(bytes32 id) external view override returns (Task memory view_) {
        TaskState storage task = _tasks[id];
        view_.status = task.status;
        if (view_.status == TaskStatus.UNSET) return view_;
        DealData deal = DealCode.load(task.deal);
        view_.dealid = deal.id();
        view_.idx = deal.botFirst() + task.offset;
        view_.timeref = deal.timeref();
        view_.contributionDeadline = deal.startTime() + view_.timeref * CONTRIBUTION_DEADLINE_RATIO;
        view_.revealDeadline = task.revealDeadline;
        view_.finalDeadline = _finalDeadline(deal);
        Tally memory tally = _tally(task);
        view_.contributors = tally.workers;
        if (view_.revealDeadline != 0) {
            view_.consensusValue = _consensus(task);
            view_.revealCounter = tally.revealed;
            view_.winnerCounter = tally.winners;
            view_.resultDigest = tally.digest;
        }
        (view_.results, view_.resultsCallback) = _readArchive(task);
    }

    /// @inheritdoc IHubViews
    function viewContribution(
        bytes32 _taskid,
        address _worker
    ) external view override returns (Contribution memory view_) {
        TaskState storage task = _tasks[_taskid];
        ContributionState storage contribution = task.contributions[_worker];
        view_.status = contribution.status;
        if (view_.status == ContributionStatus.UNSET) return view_;
        view_.resultHash = _hashOf(task, contribution);
        view_.resultSeal = view_.status == ContributionStatus.PROVED
            ? _resultSeal(_worker, _taskid, contribution.proof)
            : contribution.proof;
        if (contribution.hasEnclave) view_.enclaveChallenge = contribution.enclaveChallenge;
        view_.weight = contribution.logWeight;
    }

    /// @inheritdoc IHubViews
    function resultFor(bytes32 id) external view override returns (bytes memory resultsCallback) {
        TaskState storage task = _tasks[id];
        if (task.status != TaskStatus.COMPLETED) revert TaskNotCompleted(id);
        (, resultsCallback) = _readArchive(task);
    }

    /// @inheritdoc IHubViews
    function viewScore(address _worker) external view override returns (uint256) {
        return _accounts[_worker].score;
    }

    /// @inheritdoc IHubViews
    function viewConsumed(bytes32 _id) external view override returns (uint256) {
        return _orders[_id].consumed;
    }

    /// @inheritdoc IHubViews
    function viewPresigned(bytes32 _id) external view override returns (address) {
        return _orders[_id].presigner;
    }

    /// @inheritdoc IHubViews
    function viewAccount(address account) external view override returns (Account memory) {
        return Account(_accounts[account].stake, _accounts[account].locked);
    }

    /// @inheritdoc IHubViews
    function viewCategory(uint256 _catid) external view override returns (Category memory) {
        CategoryState storage category = _categories[_catid];
        if (!category.exists) revert IMarketplace.UnknownCategory(_catid);
        return Category(category.name, category.description, category.workClockTimeRef);
    }

    /// @inheritdoc IHubViews
    function countCategory() external view override returns (uint256) {
        return _categoryCount;
    }

    /// @inheritdoc IHubViews
    function viewApp(address app) external view override returns (AppInfo memory) {
        IApp entry = IApp(app);
        return
            AppInfo(
                entry.owner(),
                entry.m_appName(),
                entry.m_appType(),
                entry.m_appMultiaddr(),
                entry.m_appChecksum(),
                entry.m_appMREnclave()
            );
    }

    /// @inheritdoc IHubViews
    function viewDataset(address dataset) external view override returns (DatasetInfo memory) {
        IDataset entry = IDataset(dataset);
        return
            DatasetInfo(entry.owner(), entry.m_datasetName(), entry.m_datasetMultiaddr(), entry.m_datasetChecksum());
    }

    /// @inheritdoc IHubViews
    function viewWorkerpool(address workerpool) external view override returns (WorkerpoolInfo memory) {
        IWorkerpool entry = IWorkerpool(workerpool);
        return
            WorkerpoolInfo(
                entry.owner(),
                entry.m_workerpoolDescription(),
                entry.m_workerStakeRatioPolicy(),
                entry.m_schedulerRewardRatioPolicy()
            );
    }

    /// @inheritdoc IHubViews
    function domain() external view override returns (EIP712Domain memory) {
        return EIP712Domain(OrderHash.DOMAIN_NAME, OrderHash.DOMAIN_VERSION, block.chainid, address(this));
    }

    /// @inheritdoc IHubViews
    function eip712domain_separator() external view override returns (bytes32) {
        return OrderHash.separator();
    }

    /// @inheritdoc IHubViews
    function decimals() external view override returns (uint8) {
        return IRlc(token).decimals();
    }

    /// @inheritdoc IHubViews
    function totalSupply() external view override returns (uint256) {
        return _totalSupply;
    }

    /// @inheritdoc IHubViews
    function balanceOf(address account) external view override returns (uint256) {
        return _accounts[account].stake;
    }

    /// @inheritdoc IHubViews
    function frozenOf(address account) external view override returns (uint256) {
        return _accounts[account].locked;
    }

    /// @inheritdoc IHubViews
    function allowance(address account, address spender) external view override returns (uint256) {
        return _allowances[account][spender];
    }

    /// @inheritdoc IHubViews
    function teebroker() external view override returns (address) {
        return _teeBroker;
    }

    /// @inheritdoc IHubViews
    function callbackgas() external view override returns (uint256) {
        return _callbackGas;
    }

    function _readArchive(
        TaskState storage task
    ) private view returns (bytes memory results, bytes memory resultsCallback) {
        address archive = task.archive;
        if (archive == address(0)) return (results, resultsCallback);
        uint256 length = task.resultsLength;
        resultsCallback = CodeStore.read(archive, length);
        results = CodeStore.read(archive, 0);
        assembly ("memory-safe") {
            mstore(results, length)
        }
    }
}
