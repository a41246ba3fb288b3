// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

/// @title Arithmetic of the consensus
/// @notice A worker weighs w = max(score / 3, 3) - 1; equal results form a group whose weight is the product of their
/// workers' weights; the total is one more than the sum of the groups. A group wins with
/// group * trust > total * (trust - 1).
library Consensus {
    function weight(uint256 score) internal pure returns (uint256) {
        uint256 third = score / 3;
        return third > 3 ? third - 1 : 2;
    }

    /// A group's weight with one more worker in it.
    function grow(uint256 group, uint256 workerWeight) internal pure returns (uint256) {
        return group == 0 ? workerWeight : group * workerWeight;
    }

    function reached(uint256 group, uint256 total, uint256 trust) internal pure returns (bool) {
        return group * trust > total * (trust - 1);
    }

    /// floor(log2(value)) of a value of at most 64 bits.
    function log2(uint256 value) internal pure returns (uint256 result) {
        while (value > 1) {
            value >>= 1;
            ++result;
        }
    }
}
