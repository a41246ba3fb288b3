// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IEscrow} from "../interfaces/IEscrow.sol";
import {HubStorage} from "./HubStorage.sol";

/// @title Movements of money that the protocol makes
/// @notice Locked money belongs to the hub's own account until it is unlocked or paid as a reward. No sum can overflow:
/// all accounts together hold what was deposited.
abstract contract Accounts is HubStorage {
    /// Take `value` out of what `account` has free.
    function _lock(address account, uint256 value) internal {
        AccountState storage state = _accounts[account];
        uint256 stake = state.stake;
        if (stake < value) revert IEscrow.InsufficientStake(account, stake, value);
        unchecked {
            state.stake = uint96(stake - value);
            state.locked += uint96(value);
            _accounts[address(this)].stake += uint96(value);
        }
        emit IEscrow.Transfer(account, address(this), value);
        emit IEscrow.Lock(account, value);
    }

    /// Give `account` back what was locked.
    function _unlock(address account, uint256 value) internal {
        AccountState storage state = _accounts[account];
        state.locked -= uint96(value);
        unchecked {
            state.stake += uint96(value);
        }
        _accounts[address(this)].stake -= uint96(value);
        emit IEscrow.Transfer(address(this), account, value);
        emit IEscrow.Unlock(account, value);
    }

    /// Pay `account` out of what was seized.
    function _reward(address account, uint256 value, bytes32 ref) internal {
        _accounts[address(this)].stake -= uint96(value);
        unchecked {
            _accounts[account].stake += uint96(value);
        }
        emit IEscrow.Transfer(address(this), account, value);
        emit IEscrow.Reward(account, value, ref);
    }

    /// Take what `account` had locked.
    function _seize(address account, uint256 value, bytes32 ref) internal {
        _accounts[account].locked -= uint96(value);
        emit IEscrow.Seize(account, value, ref);
    }
}
