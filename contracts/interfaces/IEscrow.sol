// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

/// Money of the marketplace: RLC that is deposited, moved between accounts, locked in deals and withdrawn.
/// The balances are an ERC-20 of their own ("Staked RLC"), one to one with RLC that the hub holds.
interface IEscrow {
    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);
    event Lock(address owner, uint256 amount);
    event Unlock(address owner, uint256 amount);
    event Reward(address owner, uint256 amount, bytes32 ref);
    event Seize(address owner, uint256 amount, bytes32 ref);

    /// @param stake What `account` has free, in nRLC.
    error InsufficientStake(address account, uint256 stake, uint256 needed);
    error InsufficientAllowance(address owner, address spender, uint256 allowance, uint256 needed);
    error AllowanceOverflow(address owner, address spender);
    error InvalidReceiver(address receiver);
    error TokenTransferFailed(address from, address to, uint256 amount);
    error WrongToken(address token);
    error ApprovalRefused(address spender);
    error ArrayLengthMismatch(uint256 first, uint256 second);

    /// @notice Move RLC of the caller, who has approved the hub, into its account.
    function deposit(uint256 amount) external returns (bool);

    function depositFor(uint256 amount, address target) external returns (bool);

    function depositForArray(uint256[] calldata amounts, address[] calldata targets) external returns (bool);

    /// @notice Pay free stake out as RLC.
    function withdraw(uint256 amount) external returns (bool);

    function withdrawTo(uint256 amount, address target) external returns (bool);

    /// @notice Credit the owner with RLC that was sent to the hub without a deposit.
    function recover() external returns (uint256);

    /// @notice Deposit in the transaction of RLC's `approveAndCall`.
    function receiveApproval(
        address sender,
        uint256 amount,
        address token,
        bytes calldata extraData
    ) external returns (bool);

    function transfer(address recipient, uint256 amount) external returns (bool);

    function approve(address spender, uint256 value) external returns (bool);

    function approveAndCall(address spender, uint256 value, bytes calldata extraData) external returns (bool);

    function transferFrom(address sender, address recipient, uint256 amount) external returns (bool);

    function increaseAllowance(address spender, uint256 addedValue) external returns (bool);

    function decreaseAllowance(address spender, uint256 subtractedValue) external returns (bool);
}
