// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

/// A contract that is told of an allowance in the same transaction.
interface IApproveAndCallReceiver {
    /// @return Whether the allowance was used as wanted.
    function receiveApproval(
        address sender,
        uint256 amount,
        address token,
        bytes calldata extraData
    ) external returns (bool);
}
