// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {AppOrder, DatasetOrder, RequestOrder, WorkerpoolOrder} from "../libraries/Types.sol";

/// Which of the four orders an error is about.
enum OrderKind {
    APP,
    DATASET,
    WORKERPOOL,
    REQUEST
}

/// Which restriction a match does not meet: whose order restricts, and whom.
enum Restriction {
    REQUEST_WORKERPOOL,
    APP_DATASET,
    APP_WORKERPOOL,
    APP_REQUESTER,
    DATASET_APP,
    DATASET_WORKERPOOL,
    DATASET_REQUESTER,
    WORKERPOOL_APP,
    WORKERPOOL_DATASET,
    WORKERPOOL_REQUESTER
}

/// Orders become deals.
interface IMarketplace {
    event SchedulerNotice(address indexed workerpool, bytes32 dealid);
    event OrdersMatched(
        bytes32 dealid,
        bytes32 appHash,
        bytes32 datasetHash,
        bytes32 workerpoolHash,
        bytes32 requestHash,
        uint256 volume
    );
    event DealSponsored(bytes32 dealId, address sponsor);

    error CategoryMismatch(uint256 requested, uint256 offered);
    error UnknownCategory(uint256 category);
    /// @param offered The pool's trust, or the highest trust that a deal can hold.
    error TrustTooHigh(uint256 requested, uint256 offered);
    error PriceTooHigh(OrderKind kind, uint256 price, uint256 maxPrice);
    /// @param missing The bits of the tag that the pool does not offer.
    error TagNotOffered(bytes32 missing);
    error AppNotForEnclave(bytes32 tag, bytes32 appTag);
    error ResourceMismatch(OrderKind kind, address requested, address offered);
    /// @param allowed An account or a group (ERC-734).
    error RestrictionNotMet(Restriction restriction, address allowed, address actual);
    error ResourceNotRegistered(OrderKind kind, address resource);
    error InvalidOrderSignature(OrderKind kind, address signer, bytes32 orderHash);
    error InvalidSignatureLength(uint256 length);
    error OrderConsumed(OrderKind kind, bytes32 orderHash);
    /// @param length Of a deal's params and what is stored with them, or of a task's results.
    error DataTooLong(uint256 length);
    error IncompatibleDatasetOrder(string reason);

    /// @notice Make a deal of four orders; the requester pays.
    /// @return The deal: keccak256(request order hash, volume of it consumed before).
    function matchOrders(
        AppOrder calldata appOrder,
        DatasetOrder calldata datasetOrder,
        WorkerpoolOrder calldata workerpoolOrder,
        RequestOrder calldata requestOrder
    ) external returns (bytes32);

    /// @notice Make a deal of four orders; the caller pays. Whoever sees the orders can match them at the requester's
    /// expense first.
    function sponsorMatchOrders(
        AppOrder calldata appOrder,
        DatasetOrder calldata datasetOrder,
        WorkerpoolOrder calldata workerpoolOrder,
        RequestOrder calldata requestOrder
    ) external returns (bytes32);
}
