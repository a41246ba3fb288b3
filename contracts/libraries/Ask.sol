// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

/// @title Questions to contracts that are not trusted
library Ask {
    /// First word of what `target` answers without changing anything; zero when it fails or says less than a word.
    /// More is not copied: a long answer would burn the asker's gas.
    function word(address target, bytes memory question) internal view returns (uint256 answer) {
        assembly ("memory-safe") {
            let success := staticcall(gas(), target, add(question, 32), mload(question), 0, 32)
            if and(success, gt(returndatasize(), 31)) {
                answer := mload(0)
            }
        }
    }
}
