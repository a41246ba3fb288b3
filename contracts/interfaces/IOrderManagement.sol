// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {
    AppOrder,
    AppOrderOperation,
    DatasetOrder,
    DatasetOrderOperation,
    RequestOrder,
    RequestOrderOperation,
    WorkerpoolOrder,
    WorkerpoolOrderOperation
} from "../libraries/Types.sol";

/// Orders signed, closed and made known on chain, and what may be asked about orders.
interface IOrderManagement {
    event SignedAppOrder(bytes32 appHash);
    event SignedDatasetOrder(bytes32 datasetHash);
    event SignedWorkerpoolOrder(bytes32 workerpoolHash);
    event SignedRequestOrder(bytes32 requestHash);
    event ClosedAppOrder(bytes32 appHash);
    event ClosedDatasetOrder(bytes32 datasetHash);
    event ClosedWorkerpoolOrder(bytes32 workerpoolHash);
    event ClosedRequestOrder(bytes32 requestHash);
    event BroadcastAppOrder(AppOrder apporder);
    event BroadcastDatasetOrder(DatasetOrder datasetorder);
    event BroadcastWorkerpoolOrder(WorkerpoolOrder workerpoolorder);
    event BroadcastRequestOrder(RequestOrder requestorder);

    error NotTheOrderOwner(address caller, address owner);

    /// @notice Sign (0) or close (1) an order; by the resource's owner or with its signature of the operation.
    function manageAppOrder(AppOrderOperation calldata operation) external;

    function manageDatasetOrder(DatasetOrderOperation calldata operation) external;

    function manageWorkerpoolOrder(WorkerpoolOrderOperation calldata operation) external;

    function manageRequestOrder(RequestOrderOperation calldata operation) external;

    function broadcastAppOrder(AppOrder calldata order) external;

    function broadcastDatasetOrder(DatasetOrder calldata order) external;

    function broadcastWorkerpoolOrder(WorkerpoolOrder calldata order) external;

    function broadcastRequestOrder(RequestOrder calldata order) external;

    /// @notice Whether `signature` of `hash` is `identity`'s: its key's (65 bytes, or 64 by EIP-2098) or its ERC-1271 word.
    function verifySignature(address identity, bytes32 hash, bytes calldata signature) external view returns (bool);

    function verifyPresignature(address identity, bytes32 hash) external view returns (bool);

    function verifyPresignatureOrSignature(
        address identity,
        bytes32 hash,
        bytes calldata signature
    ) external view returns (bool);

    /// @notice How many tasks a match of these orders would make now.
    function computeDealVolume(
        AppOrder calldata appOrder,
        DatasetOrder calldata datasetOrder,
        WorkerpoolOrder calldata workerpoolOrder,
        RequestOrder calldata requestOrder
    ) external view returns (uint256);

    /// @notice Reverts with `IncompatibleDatasetOrder` unless the order allows its dataset in a deal made without one.
    function assertDatasetDealCompatibility(DatasetOrder calldata datasetOrder, bytes32 dealId) external view;
}
