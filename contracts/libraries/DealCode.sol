// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {CodeStore} from "./CodeStore.sol";
import {Deal} from "./Types.sol";

/// A deal's packed data in memory (see DealCode).
type DealData is uint256;

using DealCode for DealData global;

/// @title A deal as contract code
/// @notice Six words every deal has, then what only some have, then the params:
///
///     0  deal id
///     1  app 160, app price 64, trust 32
///     2  app owner 160, pool price 64, category 32
///     3  workerpool 160, worker stake 96
///     4  pool owner 160, start 40, reference time 32, scheduler's ratio 8, what follows 8
///     5  requester 160, first index 56, size 40
///     [sponsor 160] [callback 160] [dataset 160, its owner 160, its price 64] [tag 256] [beneficiary 160] params
///
/// A sponsor or beneficiary that is left out is the requester. A price fits 64 bits as nobody can lock more than there
/// is RLC; the stake fits as the ratio has 32 bits.
library DealCode {
    uint256 internal constant MAX_TRUST = type(uint32).max;
    uint256 internal constant MAX_VOLUME = type(uint40).max;
    uint256 internal constant MAX_CONSUMED = type(uint56).max;

    uint256 private constant HEAD = 192;
    uint256 private constant LONGEST_TAIL = 140;
    uint256 private constant SPONSOR = 1;
    uint256 private constant CALLBACK = 2;
    uint256 private constant DATASET = 4;
    uint256 private constant TAG = 8;
    uint256 private constant BENEFICIARY = 16;

    /// Write a deal; the caller has checked that every field fits.
    function store(
        bytes32 dealId,
        Deal memory deal,
        uint256 longestRun,
        string calldata params
    ) internal returns (address) {
        (uint256 flags, bytes memory tail) = _tail(deal);
        return CodeStore.write(bytes.concat(dealId, _head(deal, longestRun, flags), tail, bytes(params)));
    }

    function _head(Deal memory deal, uint256 longestRun, uint256 flags) private pure returns (bytes memory) {
        uint256 rest = (deal.startTime << 56) | (longestRun << 24) | (deal.schedulerRewardRatio << 16) | (flags << 8);
        return
            abi.encode(
                _word(deal.app.pointer, (deal.app.price << 32) | deal.trust),
                _word(deal.app.owner, (deal.workerpool.price << 32) | deal.category),
                _word(deal.workerpool.pointer, deal.workerStake),
                _word(deal.workerpool.owner, rest),
                _word(deal.requester, (deal.botFirst << 40) | deal.botSize)
            );
    }

    function _tail(Deal memory deal) private pure returns (uint256 flags, bytes memory tail) {
        if (deal.sponsor != deal.requester) {
            flags = SPONSOR;
            tail = abi.encodePacked(deal.sponsor);
        }
        if (deal.callback != address(0)) {
            flags |= CALLBACK;
            tail = abi.encodePacked(tail, deal.callback);
        }
        if (deal.dataset.pointer != address(0)) {
            flags |= DATASET;
            tail = abi.encodePacked(tail, deal.dataset.pointer, deal.dataset.owner, uint64(deal.dataset.price));
        }
        if (deal.tag != 0) {
            flags |= TAG;
            tail = abi.encodePacked(tail, deal.tag);
        }
        if (deal.beneficiary != deal.requester) {
            flags |= BENEFICIARY;
            tail = abi.encodePacked(tail, deal.beneficiary);
        }
    }

    /// Load all but the params.
    function load(address pointer) internal view returns (DealData data) {
        assembly ("memory-safe") {
            data := mload(0x40)
            mstore(0x40, add(data, add(HEAD, LONGEST_TAIL)))
            extcodecopy(pointer, data, 1, add(HEAD, LONGEST_TAIL))
        }
    }

    /// Load a deal as the views show it.
    function view_(address pointer) internal view returns (Deal memory deal) {
        DealData data = load(pointer);
        deal.app.pointer = _address(data, 32);
        deal.app.owner = data.appOwner();
        deal.app.price = data.appPrice();
        deal.workerpool.pointer = data.workerpool();
        deal.workerpool.owner = data.poolOwner();
        deal.workerpool.price = data.poolPrice();
        deal.trust = data.trust();
        deal.category = uint32(_load(data, 64));
        deal.requester = data.requester();
        deal.startTime = data.startTime();
        deal.botFirst = data.botFirst();
        deal.botSize = data.botSize();
        deal.workerStake = data.workerStake();
        deal.schedulerRewardRatio = data.schedulerRewardRatio();
        deal.sponsor = data.sponsor();
        deal.callback = data.callback();
        (deal.dataset.pointer, deal.dataset.owner, deal.dataset.price) = data.dataset();
        uint256 at = _datasetOffset(data) + (data._has(DATASET) ? 48 : 0);
        if (data._has(TAG)) {
            deal.tag = bytes32(_load(data, at));
            at += 32;
        }
        deal.beneficiary = deal.requester;
        if (data._has(BENEFICIARY)) {
            deal.beneficiary = _address(data, at);
            at += 20;
        }
        deal.params = string(CodeStore.read(pointer, at));
    }

    function id(DealData data) internal pure returns (bytes32) {
        return bytes32(_load(data, 0));
    }

    function appPrice(DealData data) internal pure returns (uint256) {
        return uint64(_load(data, 32) >> 32);
    }

    function trust(DealData data) internal pure returns (uint256) {
        return uint32(_load(data, 32));
    }

    function appOwner(DealData data) internal pure returns (address) {
        return _address(data, 64);
    }

    function poolPrice(DealData data) internal pure returns (uint256) {
        return uint64(_load(data, 64) >> 32);
    }

    function workerpool(DealData data) internal pure returns (address) {
        return _address(data, 96);
    }

    function workerStake(DealData data) internal pure returns (uint256) {
        return uint96(_load(data, 96));
    }

    function poolOwner(DealData data) internal pure returns (address) {
        return _address(data, 128);
    }

    function startTime(DealData data) internal pure returns (uint256) {
        return uint40(_load(data, 128) >> 56);
    }

    /// Longest run of the deal's category, seconds.
    function timeref(DealData data) internal pure returns (uint256) {
        return uint32(_load(data, 128) >> 24);
    }

    function schedulerRewardRatio(DealData data) internal pure returns (uint256) {
        return uint8(_load(data, 128) >> 16);
    }

    function requester(DealData data) internal pure returns (address) {
        return _address(data, 160);
    }

    function botFirst(DealData data) internal pure returns (uint256) {
        return uint56(_load(data, 160) >> 40);
    }

    function botSize(DealData data) internal pure returns (uint256) {
        return uint40(_load(data, 160));
    }

    function sponsor(DealData data) internal pure returns (address) {
        return _has(data, SPONSOR) ? _address(data, HEAD) : requester(data);
    }

    function callback(DealData data) internal pure returns (address) {
        return _has(data, CALLBACK) ? _address(data, HEAD + (_has(data, SPONSOR) ? 20 : 0)) : address(0);
    }

    function dataset(DealData data) internal pure returns (address pointer, address owner, uint256 price) {
        if (_has(data, DATASET)) {
            uint256 at = _datasetOffset(data);
            pointer = _address(data, at);
            owner = _address(data, at + 20);
            price = _load(data, at + 40) >> 192;
        }
    }

    function hasTag(DealData data) internal pure returns (bool) {
        return _has(data, TAG);
    }

    /// What a deal that has a tag asks for, see Tags.
    function tag(DealData data) internal pure returns (uint256) {
        return _load(data, _datasetOffset(data) + (_has(data, DATASET) ? 48 : 0));
    }

    function _has(DealData data, uint256 flag) internal pure returns (bool) {
        return (_load(data, 128) >> 8) & flag != 0;
    }

    function _datasetOffset(DealData data) private pure returns (uint256) {
        return HEAD + (_has(data, SPONSOR) ? 20 : 0) + (_has(data, CALLBACK) ? 20 : 0);
    }

    function _load(DealData data, uint256 offset) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := mload(add(data, offset))
        }
    }

    function _address(DealData data, uint256 offset) private pure returns (address) {
        return address(uint160(_load(data, offset) >> 96));
    }

    function _word(address account, uint256 rest) private pure returns (uint256) {
        return (uint256(uint160(account)) << 96) | rest;
    }
}
