// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IEnergyLedger} from "./interfaces/IEnergyLedger.sol";
import {IWorkerpool} from "./interfaces/IWorkerpool.sol";

/// @title Anchors of the workers' energy ledgers
/// @notice Append-only, by each worker for itself. It cannot know whether a claim is true: it fixes it, so that an audit
/// of the records can find a lie. Roots are in the events; only what `isNetPositive` needs is stored, two slots a day.
contract EnergyLedger is IEnergyLedger {
    uint256 private constant DEFAULT_WINDOW = 30;
    uint256 private constant LONGEST_WINDOW = 366;
    uint256 private constant FRESH = 3 days;

    struct Head {
        uint32 first;
        uint32 last;
        uint40 anchoredAt;
    }

    /// Since the beginning of the run; zero on the day before it.
    struct Sums {
        uint128 harvested;
        uint128 consumed;
    }

    mapping(address worker => Head) private _heads;
    mapping(address worker => mapping(uint256 day => Sums)) private _sums;
    mapping(address workerpool => uint256 numberOfDays) private _windows;

    /// @inheritdoc IEnergyLedger
    function anchor(Day[] calldata claims) external override {
        if (claims.length == 0) revert NothingToAnchor();
        Head memory head = _heads[msg.sender];
        Sums memory sums = _sums[msg.sender][head.last];
        for (uint256 i = 0; i < claims.length; ++i) {
            Day calldata claim = claims[i];
            uint32 day = claim.day;
            if (day <= head.last) revert DayNotAfter(day, head.last);
            if ((uint256(day) + 1) * 1 days > block.timestamp) revert DayNotOver(day);
            if (day != head.last + 1) {
                head.first = day;
                delete sums;
            }
            head.last = day;
            sums.harvested += claim.harvested;
            sums.consumed += claim.consumed;
            _sums[msg.sender][day] = sums;
            emit Anchored(
                msg.sender,
                day,
                claim.root,
                claim.records,
                claim.unknown,
                claim.harvested,
                claim.consumed,
                claim.charged,
                claim.stored
            );
        }
        head.anchoredAt = uint40(block.timestamp);
        _heads[msg.sender] = head;
    }

    /// @inheritdoc IEnergyLedger
    function declareWindow(address workerpool, uint256 numberOfDays) external override {
        address owner = IWorkerpool(workerpool).owner();
        if (msg.sender != owner) revert NotThePoolsOwner(msg.sender, owner);
        if (numberOfDays == 0 || numberOfDays > LONGEST_WINDOW) revert NotAWindow(numberOfDays);
        _windows[workerpool] = numberOfDays;
        emit WindowDeclared(workerpool, numberOfDays);
    }

    /// @inheritdoc IEnergyLedger
    function windowOf(address workerpool) public view override returns (uint256) {
        uint256 declared = _windows[workerpool];
        return declared == 0 ? DEFAULT_WINDOW : declared;
    }

    /// @inheritdoc IEnergyLedger
    function headOf(address worker) external view override returns (uint256 first, uint256 last, uint256 anchoredAt) {
        Head memory head = _heads[worker];
        return (head.first, head.last, head.anchoredAt);
    }

    /// @inheritdoc IEnergyLedger
    function sumsOf(
        address worker,
        uint256 numberOfDays
    ) external view override returns (bool complete, uint256 harvested, uint256 consumed) {
        return _window(worker, _heads[worker], numberOfDays);
    }

    /// @inheritdoc IEnergyLedger
    function isNetPositive(address worker, uint256 numberOfDays) public view override returns (bool) {
        Head memory head = _heads[worker];
        (bool complete, uint256 harvested, uint256 consumed) = _window(worker, head, numberOfDays);
        return complete && block.timestamp <= head.anchoredAt + FRESH && harvested > 0 && harvested >= consumed;
    }

    /// @inheritdoc IEnergyLedger
    function isGreen(address worker, address workerpool) external view override returns (bool) {
        return isNetPositive(worker, windowOf(workerpool));
    }

    /// The sums of the last days, or of the whole run where that is shorter.
    function _window(
        address worker,
        Head memory head,
        uint256 numberOfDays
    ) private view returns (bool complete, uint256 harvested, uint256 consumed) {
        if (head.last == 0) return (false, 0, 0);
        complete = numberOfDays > 0 && numberOfDays <= uint256(head.last) - head.first + 1;
        Sums memory sums = _sums[worker][head.last];
        if (!complete) return (false, sums.harvested, sums.consumed);
        Sums memory before = _sums[worker][head.last - numberOfDays];
        return (true, sums.harvested - before.harvested, sums.consumed - before.consumed);
    }
}
