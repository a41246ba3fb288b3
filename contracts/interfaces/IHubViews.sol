// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {
    Account,
    AppInfo,
    Category,
    Contribution,
    DatasetInfo,
    Deal,
    EIP712Domain,
    Task,
    WorkerpoolInfo
} from "../libraries/Types.sol";

/// All that can be read.
interface IHubViews {
    error TaskNotCompleted(bytes32 taskId);

    function viewDeal(bytes32 id) external view returns (Deal memory);

    function viewTask(bytes32 id) external view returns (Task memory);

    function viewContribution(bytes32 _taskid, address _worker) external view returns (Contribution memory);

    function viewScore(address _worker) external view returns (uint256);

    function viewConsumed(bytes32 _id) external view returns (uint256 consumed);

    function viewPresigned(bytes32 _id) external view returns (address signer);

    function viewAccount(address account) external view returns (Account memory);

    function viewCategory(uint256 _catid) external view returns (Category memory);

    function countCategory() external view returns (uint256);

    function viewApp(address app) external view returns (AppInfo memory);

    function viewDataset(address dataset) external view returns (DatasetInfo memory);

    function viewWorkerpool(address workerpool) external view returns (WorkerpoolInfo memory);

    /// @notice The callback data of a completed task (EIP-1154).
    function resultFor(bytes32 id) external view returns (bytes memory);

    function domain() external view returns (EIP712Domain memory);

    function eip712domain_separator() external view returns (bytes32);

    function name() external view returns (string memory);

    function symbol() external view returns (string memory);

    function decimals() external view returns (uint8);

    function totalSupply() external view returns (uint256);

    function balanceOf(address account) external view returns (uint256);

    function frozenOf(address account) external view returns (uint256);

    function allowance(address account, address spender) external view returns (uint256);

    function token() external view returns (address);

    function appregistry() external view returns (address);

    function datasetregistry() external view returns (address);

    function workerpoolregistry() external view returns (address);

    function teebroker() external view returns (address);

    function callbackgas() external view returns (uint256);

    function contribution_deadline_ratio() external view returns (uint256);

    function reveal_deadline_ratio() external view returns (uint256);

    function final_deadline_ratio() external view returns (uint256);

    function workerpool_stake_ratio() external view returns (uint256);

    function kitty_ratio() external view returns (uint256);

    function kitty_min() external view returns (uint256);

    function kitty_address() external view returns (address);

    function groupmember_purpose() external view returns (uint256);
}
