// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IMarketplace, OrderKind} from "../interfaces/IMarketplace.sol";
import {IOrderManagement} from "../interfaces/IOrderManagement.sol";
import {IRegistry} from "../interfaces/IRegistry.sol";
import {DealCode} from "../libraries/DealCode.sol";
import {OrderHash} from "../libraries/OrderHash.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {
    AppOrder,
    AppOrderOperation,
    DatasetOrder,
    DatasetOrderOperation,
    Deal,
    OrderOperation,
    RequestOrder,
    RequestOrderOperation,
    WorkerpoolOrder,
    WorkerpoolOrderOperation
} from "../libraries/Types.sol";
import {Orders} from "./Orders.sol";
import {Parties} from "./Parties.sol";

/// @title Orders signed, closed and made known on chain
abstract contract OrderManagement is IOrderManagement, Parties, Orders {
    /// @inheritdoc IOrderManagement
    function manageAppOrder(AppOrderOperation calldata operation) external override {
        bytes32 order = OrderHash.structHash(operation.order);
        bytes32 hash = _manage(
            _ownerOf(OrderKind.APP, appregistry, operation.order.app),
            order,
            OrderHash.operationHash(OrderHash.APP_OPERATION_TYPE, order, operation.operation),
            operation.operation,
            operation.order.volume,
            operation.sign
        );
        if (operation.operation == OrderOperation.SIGN) emit SignedAppOrder(hash);
        else emit ClosedAppOrder(hash);
    }

    /// @inheritdoc IOrderManagement
    function manageDatasetOrder(DatasetOrderOperation calldata operation) external override {
        bytes32 order = OrderHash.structHash(operation.order);
        bytes32 hash = _manage(
            _ownerOf(OrderKind.DATASET, datasetregistry, operation.order.dataset),
            order,
            OrderHash.operationHash(OrderHash.DATASET_OPERATION_TYPE, order, operation.operation),
            operation.operation,
            operation.order.volume,
            operation.sign
        );
        if (operation.operation == OrderOperation.SIGN) emit SignedDatasetOrder(hash);
        else emit ClosedDatasetOrder(hash);
    }

    /// @inheritdoc IOrderManagement
    function manageWorkerpoolOrder(WorkerpoolOrderOperation calldata operation) external override {
        bytes32 order = OrderHash.structHash(operation.order);
        bytes32 hash = _manage(
            _ownerOf(OrderKind.WORKERPOOL, workerpoolregistry, operation.order.workerpool),
            order,
            OrderHash.operationHash(OrderHash.WORKERPOOL_OPERATION_TYPE, order, operation.operation),
            operation.operation,
            operation.order.volume,
            operation.sign
        );
        if (operation.operation == OrderOperation.SIGN) emit SignedWorkerpoolOrder(hash);
        else emit ClosedWorkerpoolOrder(hash);
    }

    /// @inheritdoc IOrderManagement
    function manageRequestOrder(RequestOrderOperation calldata operation) external override {
        bytes32 order = OrderHash.structHash(operation.order);
        bytes32 hash = _manage(
            operation.order.requester,
            order,
            OrderHash.operationHash(OrderHash.REQUEST_OPERATION_TYPE, order, operation.operation),
            operation.operation,
            operation.order.volume,
            operation.sign
        );
        if (operation.operation == OrderOperation.SIGN) emit SignedRequestOrder(hash);
        else emit ClosedRequestOrder(hash);
    }

    /// @inheritdoc IOrderManagement
    function broadcastAppOrder(AppOrder calldata order) external override {
        emit BroadcastAppOrder(order);
    }

    /// @inheritdoc IOrderManagement
    function broadcastDatasetOrder(DatasetOrder calldata order) external override {
        emit BroadcastDatasetOrder(order);
    }

    /// @inheritdoc IOrderManagement
    function broadcastWorkerpoolOrder(WorkerpoolOrder calldata order) external override {
        emit BroadcastWorkerpoolOrder(order);
    }

    /// @inheritdoc IOrderManagement
    function broadcastRequestOrder(RequestOrder calldata order) external override {
        emit BroadcastRequestOrder(order);
    }

    /// @inheritdoc IOrderManagement
    function verifySignature(
        address identity,
        bytes32 hash,
        bytes calldata signature
    ) external view override returns (bool) {
        return Signatures.isValid(identity, hash, signature);
    }

    /// @inheritdoc IOrderManagement
    function verifyPresignature(address identity, bytes32 hash) external view override returns (bool) {
        return _isPresigned(identity, hash);
    }

    /// @inheritdoc IOrderManagement
    function verifyPresignatureOrSignature(
        address identity,
        bytes32 hash,
        bytes calldata signature
    ) external view override returns (bool) {
        return _isPresigned(identity, hash) || Signatures.isValid(identity, hash, signature);
    }

    /// @inheritdoc IOrderManagement
    function computeDealVolume(
        AppOrder calldata appOrder,
        DatasetOrder calldata datasetOrder,
        WorkerpoolOrder calldata workerpoolOrder,
        RequestOrder calldata requestOrder
    ) external view override returns (uint256 volume) {
        volume = _least(DealCode.MAX_VOLUME, OrderHash.structHash(appOrder), appOrder.volume);
        if (datasetOrder.dataset != address(0)) {
            volume = _least(volume, OrderHash.structHash(datasetOrder), datasetOrder.volume);
        }
        volume = _least(volume, OrderHash.structHash(workerpoolOrder), workerpoolOrder.volume);
        volume = _least(volume, OrderHash.structHash(requestOrder), requestOrder.volume);
    }

    /// @inheritdoc IOrderManagement
    function assertDatasetDealCompatibility(
        DatasetOrder calldata datasetOrder,
        bytes32 dealId
    ) external view override {
        bytes32 hash = OrderHash.typedData(OrderHash.separator(), OrderHash.structHash(datasetOrder));
        _require(_remaining(hash, datasetOrder.volume) > 0, "the dataset order is closed or consumed");
        address owner_ = _ownerOf(OrderKind.DATASET, datasetregistry, datasetOrder.dataset);
        _require(
            _isPresigned(owner_, hash) || Signatures.isValid(owner_, hash, datasetOrder.sign),
            "the dataset's owner has not signed the order"
        );
        address code = _deals[dealId];
        _require(code != address(0), "there is no such deal");
        Deal memory deal = DealCode.view_(code);
        _require(deal.dataset.pointer == address(0), "the deal has a dataset");
        _require(_allows(datasetOrder.apprestrict, deal.app.pointer), "the order is not for the deal's app");
        _require(
            _allows(datasetOrder.workerpoolrestrict, deal.workerpool.pointer),
            "the order is not for the deal's workerpool"
        );
        _require(
            _allows(datasetOrder.requesterrestrict, deal.requester),
            "the order is not for the deal's requester"
        );
        _require(datasetOrder.tag & ~deal.tag == 0, "the deal lacks a tag of the order");
    }

    function _manage(
        address owner_,
        bytes32 order,
        bytes32 operationHash,
        OrderOperation operation,
        uint256 volume,
        bytes calldata signature
    ) private returns (bytes32 hash) {
        bytes32 domain_ = OrderHash.separator();
        if (
            msg.sender != owner_ &&
            !Signatures.isValid(owner_, OrderHash.typedData(domain_, operationHash), signature)
        ) revert NotTheOrderOwner(msg.sender, owner_);
        hash = OrderHash.typedData(domain_, order);
        if (operation == OrderOperation.SIGN) _orders[hash].presigner = owner_;
        else _orders[hash].consumed = volume < ALL_CONSUMED ? uint96(volume) : ALL_CONSUMED;
    }

    function _ownerOf(OrderKind kind, address registry, address resource) private view returns (address owner_) {
        owner_ = IRegistry(registry).ownerOfEntry(resource);
        if (owner_ == address(0)) revert IMarketplace.ResourceNotRegistered(kind, resource);
    }

    function _isPresigned(address identity, bytes32 hash) private view returns (bool) {
        return identity != address(0) && _orders[hash].presigner == identity;
    }

    function _least(uint256 volume, bytes32 structHash, uint256 orderVolume) private view returns (uint256) {
        uint256 left = _remaining(OrderHash.typedData(OrderHash.separator(), structHash), orderVolume);
        return left < volume ? left : volume;
    }

    function _require(bool condition, string memory reason) private pure {
        if (!condition) revert IMarketplace.IncompatibleDatasetOrder(reason);
    }
}
