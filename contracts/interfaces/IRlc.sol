// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

/// RLC, "Run on Lots of Computers": an ERC-20 with 9 decimals and a fixed supply of 87 million.
interface IRlc {
    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);

    error InsufficientBalance(address account, uint256 balance, uint256 needed);
    error InsufficientAllowance(address owner, address spender, uint256 allowance, uint256 needed);
    error InvalidReceiver(address receiver);
    error ApprovalRefused(address spender);

    function name() external view returns (string memory);

    function symbol() external view returns (string memory);

    function decimals() external view returns (uint8);

    function totalSupply() external view returns (uint256);

    function balanceOf(address account) external view returns (uint256);

    function allowance(address owner, address spender) external view returns (uint256);

    function transfer(address to, uint256 value) external returns (bool);

    function approve(address spender, uint256 value) external returns (bool);

    function transferFrom(address from, address to, uint256 value) external returns (bool);

    /// @notice Approve `spender` and call its `receiveApproval`, all or nothing.
    function approveAndCall(address spender, uint256 value, bytes calldata extraData) external;
}
