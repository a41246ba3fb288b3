// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IApproveAndCallReceiver} from "../interfaces/IApproveAndCallReceiver.sol";
import {IEscrow} from "../interfaces/IEscrow.sol";
import {IRlc} from "../interfaces/IRlc.sol";
import {Administration} from "./Administration.sol";
import {Parties} from "./Parties.sol";

/// @title Deposits, withdrawals and the ERC-20 face of the accounts
abstract contract Escrow is IEscrow, Parties, Administration {
    /// @inheritdoc IEscrow
    function deposit(uint256 amount) external override returns (bool) {
        _deposit(msg.sender, amount, msg.sender);
        return true;
    }

    /// @inheritdoc IEscrow
    function depositFor(uint256 amount, address target) external override returns (bool) {
        _deposit(msg.sender, amount, target);
        return true;
    }

    /// @inheritdoc IEscrow
    function depositForArray(
        uint256[] calldata amounts,
        address[] calldata targets
    ) external override returns (bool) {
        if (amounts.length != targets.length) revert ArrayLengthMismatch(amounts.length, targets.length);
        for (uint256 i = 0; i < amounts.length; ++i) _deposit(msg.sender, amounts[i], targets[i]);
        return true;
    }

    /// @inheritdoc IEscrow
    function receiveApproval(
        address sender,
        uint256 amount,
        address token_,
        bytes calldata
    ) external override returns (bool) {
        if (token_ != token) revert WrongToken(token_);
        _deposit(sender, amount, sender);
        return true;
    }

    /// @inheritdoc IEscrow
    function withdraw(uint256 amount) external override returns (bool) {
        _withdraw(amount, msg.sender);
        return true;
    }

    /// @inheritdoc IEscrow
    function withdrawTo(uint256 amount, address target) external override returns (bool) {
        _withdraw(amount, target);
        return true;
    }

    /// @inheritdoc IEscrow
    function recover() external override onlyOwner returns (uint256 excess) {
        excess = IRlc(token).balanceOf(address(this)) - _totalSupply;
        _mint(msg.sender, excess);
    }

    /// @inheritdoc IEscrow
    function transfer(address recipient, uint256 amount) external override returns (bool) {
        _transfer(msg.sender, recipient, amount);
        return true;
    }

    /// @inheritdoc IEscrow
    function approve(address spender, uint256 value) external override returns (bool) {
        _approve(msg.sender, spender, value);
        return true;
    }

    /// @inheritdoc IEscrow
    function approveAndCall(address spender, uint256 value, bytes calldata extraData) external override returns (bool) {
        _approve(msg.sender, spender, value);
        if (!IApproveAndCallReceiver(spender).receiveApproval(msg.sender, value, address(this), extraData)) {
            revert ApprovalRefused(spender);
        }
        return true;
    }

    /// @inheritdoc IEscrow
    function transferFrom(address sender, address recipient, uint256 amount) external override returns (bool) {
        _transfer(sender, recipient, amount);
        _lowerAllowance(sender, msg.sender, amount);
        return true;
    }

    /// @inheritdoc IEscrow
    function increaseAllowance(address spender, uint256 addedValue) external override returns (bool) {
        uint256 allowed = _allowances[msg.sender][spender];
        if (addedValue > type(uint256).max - allowed) revert AllowanceOverflow(msg.sender, spender);
        _approve(msg.sender, spender, allowed + addedValue);
        return true;
    }

    /// @inheritdoc IEscrow
    function decreaseAllowance(address spender, uint256 subtractedValue) external override returns (bool) {
        _lowerAllowance(msg.sender, spender, subtractedValue);
        return true;
    }

    function _deposit(address from, uint256 amount, address target) private {
        if (!IRlc(token).transferFrom(from, address(this), amount)) {
            revert TokenTransferFailed(from, address(this), amount);
        }
        _mint(target, amount);
    }

    function _mint(address target, uint256 amount) private {
        if (target == address(0)) revert InvalidReceiver(target);
        // no overflow: the token's supply fits, see the extension's constructor
        _totalSupply += uint96(amount);
        _accounts[target].stake += uint96(amount);
        emit Transfer(address(0), target, amount);
    }

    function _withdraw(uint256 amount, address target) private {
        _takeStake(msg.sender, amount);
        _totalSupply -= uint96(amount);
        emit Transfer(msg.sender, address(0), amount);
        if (!IRlc(token).transfer(target, amount)) revert TokenTransferFailed(address(this), target, amount);
    }

    function _transfer(address from, address to, uint256 amount) private {
        if (to == address(0)) revert InvalidReceiver(to);
        _takeStake(from, amount);
        _accounts[to].stake += uint96(amount);
        emit Transfer(from, to, amount);
    }

    function _takeStake(address account, uint256 amount) private {
        uint256 stake = _accounts[account].stake;
        if (stake < amount) revert InsufficientStake(account, stake, amount);
        unchecked {
            _accounts[account].stake = uint96(stake - amount);
        }
    }

    function _lowerAllowance(address holder, address spender, uint256 amount) private {
        uint256 allowed = _allowances[holder][spender];
        if (allowed < amount) revert InsufficientAllowance(holder, spender, allowed, amount);
        unchecked {
            _approve(holder, spender, allowed - amount);
        }
    }

    function _approve(address holder, address spender, uint256 value) private {
        if (spender == address(0)) revert InvalidReceiver(spender);
        _allowances[holder][spender] = value;
        emit Approval(holder, spender, value);
    }
}
