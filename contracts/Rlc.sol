// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IApproveAndCallReceiver} from "./interfaces/IApproveAndCallReceiver.sol";
import {IRlc} from "./interfaces/IRlc.sol";

/// @title The token of the marketplace for local chains and test networks
/// @notice The whole supply belongs to the deployer; nobody can mint.
contract Rlc is IRlc {
    string public constant override name = "iExec Network Token";
    string public constant override symbol = "RLC";
    uint8 public constant override decimals = 9;
    uint256 public constant override totalSupply = 87_000_000 * 10 ** 9;

    mapping(address => uint256) public override balanceOf;
    mapping(address => mapping(address => uint256)) public override allowance;

    constructor() {
        balanceOf[msg.sender] = totalSupply;
        emit Transfer(address(0), msg.sender, totalSupply);
    }

    /// @inheritdoc IRlc
    function transfer(address to, uint256 value) external override returns (bool) {
        _transfer(msg.sender, to, value);
        return true;
    }

    /// @inheritdoc IRlc
    function approve(address spender, uint256 value) external override returns (bool) {
        _approve(msg.sender, spender, value);
        return true;
    }

    /// @inheritdoc IRlc
    function transferFrom(address from, address to, uint256 value) external override returns (bool) {
        uint256 allowed = allowance[from][msg.sender];
        if (allowed < value) revert InsufficientAllowance(from, msg.sender, allowed, value);
        if (allowed != type(uint256).max) {
            unchecked {
                allowance[from][msg.sender] = allowed - value;
            }
        }
        _transfer(from, to, value);
        return true;
    }

    /// @inheritdoc IRlc
    function approveAndCall(address spender, uint256 value, bytes calldata extraData) external override {
        _approve(msg.sender, spender, value);
        if (!IApproveAndCallReceiver(spender).receiveApproval(msg.sender, value, address(this), extraData)) {
            revert ApprovalRefused(spender);
        }
    }

    function _approve(address owner, address spender, uint256 value) private {
        allowance[owner][spender] = value;
        emit Approval(owner, spender, value);
    }

    function _transfer(address from, address to, uint256 value) private {
        if (to == address(0)) revert InvalidReceiver(to);
        uint256 balance = balanceOf[from];
        if (balance < value) revert InsufficientBalance(from, balance, value);
        unchecked {
            // no overflow: the sum of all balances is the fixed supply
            balanceOf[from] = balance - value;
            balanceOf[to] += value;
        }
        emit Transfer(from, to, value);
    }
}
