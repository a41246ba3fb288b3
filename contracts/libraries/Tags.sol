// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

/// @title Bits of an order's tag that the hub acts upon
library Tags {
    /// iExec's: only an enclave may do it.
    uint256 internal constant ENCLAVE = 1;
    /// Ours: only a worker whose energy ledger is net positive may do it. The highest bit, as iExec numbers its own
    /// from the lowest (1 enclave, 2 and 4 its frameworks, 8 TDX, 256 GPU).
    uint256 internal constant GREEN = 1 << 255;
}
