// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

/// A contract that signs (ERC-1271).
interface IERC1271 {
    /// @return magicValue The selector of this function when `signature` is good for `hash`.
    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4 magicValue);
}
