// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IERC1271} from "../interfaces/IERC1271.sol";
import {IMarketplace} from "../interfaces/IMarketplace.sol";
import {Ask} from "./Ask.sol";

/// @title Signatures by keys (65 bytes, or 64 by EIP-2098) and by contracts (ERC-1271)
library Signatures {
    /// Half of the curve's order: a higher s is the same signature written differently, and refused.
    uint256 private constant MAX_S = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;

    /// Whether `signature` of `hash` is `account`'s. The key is tried first: it is right in most cases and spares a
    /// look at the account's code.
    function isValid(address account, bytes32 hash, bytes calldata signature) internal view returns (bool) {
        bool wellFormed = signature.length == 65 || signature.length == 64;
        if (wellFormed && account != address(0) && _recover(hash, signature) == account) return true;
        if (account.code.length == 0) {
            if (!wellFormed) revert IMarketplace.InvalidSignatureLength(signature.length);
            return false;
        }
        uint256 answer = Ask.word(account, abi.encodeCall(IERC1271.isValidSignature, (hash, signature)));
        return bytes32(answer) == bytes32(IERC1271.isValidSignature.selector);
    }

    /// What a wallet signs when asked to sign `hash` as a personal message.
    function personalMessage(bytes32 hash) internal pure returns (bytes32 message) {
        assembly ("memory-safe") {
            mstore(0, "\x19Ethereum Signed Message:\n32")
            mstore(28, hash)
            message := keccak256(0, 60)
        }
    }

    function _recover(bytes32 hash, bytes calldata signature) private pure returns (address) {
        bytes32 r;
        bytes32 s;
        uint8 v;
        assembly ("memory-safe") {
            r := calldataload(signature.offset)
            s := calldataload(add(signature.offset, 32))
        }
        if (signature.length == 65) {
            v = uint8(signature[64]);
        } else {
            v = 27 + uint8(uint256(s) >> 255);
            s = bytes32(uint256(s) & type(uint256).max >> 1);
        }
        return uint256(s) > MAX_S ? address(0) : ecrecover(hash, v, r, s);
    }
}
