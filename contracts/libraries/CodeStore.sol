// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IMarketplace} from "../interfaces/IMarketplace.sol";

/// @title Bytes kept as the code of a contract
/// @notice 200 gas a byte to write and one cold account access to read, where a storage slot takes 22,100 and 2,100.
/// The code begins with STOP, so that it can be called without effect.
library CodeStore {
    uint256 private constant MAX_LENGTH = 24_575;
    /// PUSH2 length, DUP1, PUSH1 10, RETURNDATASIZE, CODECOPY, RETURNDATASIZE, RETURN, STOP with a length of zero
    uint256 private constant LOADER = 0x61000080600a3d393df300;

    /// Deploy `data` as code.
    function write(bytes memory data) internal returns (address pointer) {
        uint256 length = data.length;
        if (length > MAX_LENGTH) revert IMarketplace.DataTooLong(length);
        assembly ("memory-safe") {
            // the loader takes the place of the length word and is moved out again
            mstore(data, or(LOADER, shl(64, add(length, 1))))
            pointer := create(0, add(data, 21), add(length, 11))
            mstore(data, length)
        }
        if (pointer == address(0)) revert IMarketplace.DataTooLong(length);
    }

    /// All bytes behind `pointer` from `offset` on.
    function read(address pointer, uint256 offset) internal view returns (bytes memory data) {
        uint256 size = pointer.code.length;
        uint256 start = offset + 1;
        if (size <= start) return data;
        unchecked {
            data = new bytes(size - start);
        }
        assembly ("memory-safe") {
            extcodecopy(pointer, add(data, 32), start, mload(data))
        }
    }
}
