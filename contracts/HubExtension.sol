// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRlc} from "./interfaces/IRlc.sol";
import {Escrow} from "./hub/Escrow.sol";
import {HubViews} from "./hub/HubViews.sol";
import {OrderManagement} from "./hub/OrderManagement.sol";
import {Parties} from "./hub/Parties.sol";

/// @title The part of the hub that is called less often
/// @notice Runs in the hub's storage; has none of its own worth having.
contract HubExtension is HubViews, OrderManagement, Escrow {
    constructor(
        address token_,
        address apps,
        address datasets,
        address workerpools
    ) Parties(token_, apps, datasets, workerpools) {
        // what makes the narrow fields of accounts and deals wide enough
        uint256 supply = IRlc(token_).totalSupply();
        if (supply > type(uint64).max) revert ValueTooHigh(supply, type(uint64).max);
    }
}
