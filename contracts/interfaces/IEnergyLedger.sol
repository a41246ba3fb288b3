// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

/// Daily claims of workers about their energy. Energies are milliwatt-hours; a day is Unix seconds / 86,400 on the
/// clock of the worker's power source.
interface IEnergyLedger {
    /// @notice One day of a worker's ledger.
    struct Day {
        uint32 day;
        /// records of a quarter of an hour under the root
        uint16 records;
        /// seconds of the day in which the load was not measured
        uint32 unknown;
        /// Merkle root of the records' hashes
        bytes32 root;
        /// given by the sun
        uint64 harvested;
        /// drawn by the device; unmeasured time counted at the power that the worker's profile declares for it
        uint64 consumed;
        /// charged from a mains supply
        uint64 charged;
        /// change of the energy in the battery
        int64 stored;
    }

    event Anchored(
        address indexed worker,
        uint256 indexed day,
        bytes32 root,
        uint256 records,
        uint256 unknown,
        uint256 harvested,
        uint256 consumed,
        uint256 charged,
        int256 stored
    );
    event WindowDeclared(address indexed workerpool, uint256 numberOfDays);

    error NothingToAnchor();
    error DayNotOver(uint256 day);
    error DayNotAfter(uint256 day, uint256 last);
    error NotThePoolsOwner(address caller, address owner);
    error NotAWindow(uint256 numberOfDays);

    /// @notice Anchor days of the caller's ledger, in rising order. What is anchored stays; a day that is left out
    /// ends the unbroken run that a claim is made of.
    function anchor(Day[] calldata claims) external;

    /// @notice Declare over how many days a pool's workers must be net positive to take its green tasks (owner only).
    function declareWindow(address workerpool, uint256 numberOfDays) external;

    /// @notice The window of a pool, days: 30 where its owner has declared none.
    function windowOf(address workerpool) external view returns (uint256);

    /// @notice What a worker has anchored: the last day, the first day of the unbroken run that it ends, and when it
    /// was anchored (Unix seconds). Zeros for a worker without a ledger.
    function headOf(address worker) external view returns (uint256 first, uint256 last, uint256 anchoredAt);

    /// @notice Sums of a worker's last days; complete if each of them is anchored.
    function sumsOf(
        address worker,
        uint256 numberOfDays
    ) external view returns (bool complete, uint256 harvested, uint256 consumed);

    /// @notice Whether a worker claims to be net positive over its last days: all are anchored, the last one not more
    /// than three days ago, and the sun gave at least what the device drew.
    function isNetPositive(address worker, uint256 numberOfDays) external view returns (bool);

    /// @notice The same over the window of a pool.
    function isGreen(address worker, address workerpool) external view returns (bool);
}
