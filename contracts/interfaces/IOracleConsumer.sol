// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

/// A contract that takes the result of a task (EIP-1154).
interface IOracleConsumer {
    /// @param id The task.
    /// @param result Bytes whose keccak256 is the task's digest.
    function receiveResult(bytes32 id, bytes calldata result) external;
}
