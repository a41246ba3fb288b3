// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IERC734} from "../interfaces/IERC734.sol";
import {Ask} from "../libraries/Ask.sol";
import {HubStorage} from "./HubStorage.sol";

/// @title What is known of an order
abstract contract Orders is HubStorage {
    /// An order that counts as consumed whatever its volume.
    uint96 internal constant ALL_CONSUMED = type(uint96).max;

    /// Tasks that an order of that volume still offers.
    function _remaining(bytes32 orderHash, uint256 volume) internal view returns (uint256) {
        uint256 consumed = _orders[orderHash].consumed;
        return consumed == ALL_CONSUMED || consumed >= volume ? 0 : volume - consumed;
    }

    /// Whether `restriction` lets `account` through: nobody is named, it is named itself, or it is in the group named.
    function _allows(address restriction, address account) internal view returns (bool) {
        if (restriction == address(0) || restriction == account) return true;
        if (restriction.code.length == 0) return false;
        bytes32 key = bytes32(uint256(uint160(account)));
        return Ask.word(restriction, abi.encodeCall(IERC734.keyHasPurpose, (key, GROUPMEMBER_PURPOSE))) == 1;
    }
}
