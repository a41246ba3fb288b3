// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IMarketplace, OrderKind, Restriction} from "../interfaces/IMarketplace.sol";
import {IRegistry} from "../interfaces/IRegistry.sol";
import {IWorkerpoolRegistry} from "../interfaces/IWorkerpoolRegistry.sol";
import {DealCode} from "../libraries/DealCode.sol";
import {OrderHash} from "../libraries/OrderHash.sol";
import {Signatures} from "../libraries/Signatures.sol";
import {AppOrder, DatasetOrder, Deal, RequestOrder, WorkerpoolOrder} from "../libraries/Types.sol";
import {Accounts} from "./Accounts.sol";
import {Orders} from "./Orders.sol";

/// @title Matching of orders
abstract contract Marketplace is IMarketplace, Accounts, Orders {
    struct Hashes {
        bytes32 domain;
        bytes32 app;
        bytes32 dataset;
        bytes32 workerpool;
        bytes32 request;
    }

    IRegistry private immutable _apps;
    IRegistry private immutable _datasets;
    IWorkerpoolRegistry private immutable _workerpools;

    constructor(address apps, address datasets, address workerpools) {
        _apps = IRegistry(apps);
        _datasets = IRegistry(datasets);
        _workerpools = IWorkerpoolRegistry(workerpools);
    }

    /// @inheritdoc IMarketplace
    function matchOrders(
        AppOrder calldata appOrder,
        DatasetOrder calldata datasetOrder,
        WorkerpoolOrder calldata workerpoolOrder,
        RequestOrder calldata requestOrder
    ) external override returns (bytes32) {
        return _match(appOrder, datasetOrder, workerpoolOrder, requestOrder, requestOrder.requester);
    }

    /// @inheritdoc IMarketplace
    function sponsorMatchOrders(
        AppOrder calldata appOrder,
        DatasetOrder calldata datasetOrder,
        WorkerpoolOrder calldata workerpoolOrder,
        RequestOrder calldata requestOrder
    ) external override returns (bytes32 dealId) {
        dealId = _match(appOrder, datasetOrder, workerpoolOrder, requestOrder, msg.sender);
        emit DealSponsored(dealId, msg.sender);
    }

    function _match(
        AppOrder calldata appOrder,
        DatasetOrder calldata datasetOrder,
        WorkerpoolOrder calldata workerpoolOrder,
        RequestOrder calldata requestOrder,
        address sponsor
    ) private returns (bytes32 dealId) {
        Deal memory deal;
        deal.sponsor = sponsor;
        _checkTerms(deal, appOrder, datasetOrder, workerpoolOrder, requestOrder);
        _checkRestrictions(appOrder, datasetOrder, workerpoolOrder, requestOrder);
        Hashes memory hashes;
        _authenticate(deal, hashes, appOrder, datasetOrder, workerpoolOrder, requestOrder);
        _consume(deal, hashes, appOrder.volume, datasetOrder.volume, workerpoolOrder.volume, requestOrder.volume);
        dealId = keccak256(abi.encode(hashes.request, deal.botFirst));
        _record(deal, dealId, requestOrder);
        emit SchedulerNotice(deal.workerpool.pointer, dealId);
        emit OrdersMatched(dealId, hashes.app, hashes.dataset, hashes.workerpool, hashes.request, deal.botSize);
    }

    /// What the request wants against what the others offer.
    function _checkTerms(
        Deal memory deal,
        AppOrder calldata appOrder,
        DatasetOrder calldata datasetOrder,
        WorkerpoolOrder calldata workerpoolOrder,
        RequestOrder calldata requestOrder
    ) private pure {
        deal.category = requestOrder.category;
        if (deal.category != workerpoolOrder.category) {
            revert CategoryMismatch(deal.category, workerpoolOrder.category);
        }
        uint256 trust = requestOrder.trust;
        uint256 offered = workerpoolOrder.trust;
        if (offered > DealCode.MAX_TRUST) offered = DealCode.MAX_TRUST;
        if (trust > offered) revert TrustTooHigh(trust, offered);
        deal.trust = trust == 0 ? 1 : trust;

        deal.app.price = appOrder.appprice;
        _checkPrice(OrderKind.APP, deal.app.price, requestOrder.appmaxprice);
        deal.dataset.price = datasetOrder.datasetprice;
        _checkPrice(OrderKind.DATASET, deal.dataset.price, requestOrder.datasetmaxprice);
        deal.workerpool.price = workerpoolOrder.workerpoolprice;
        _checkPrice(OrderKind.WORKERPOOL, deal.workerpool.price, requestOrder.workerpoolmaxprice);

        bytes32 appTag = appOrder.tag;
        deal.tag = appTag | datasetOrder.tag | requestOrder.tag;
        bytes32 missing = deal.tag & ~workerpoolOrder.tag;
        if (missing != 0) revert TagNotOffered(missing);
        if (uint256(deal.tag ^ appTag) & 1 != 0) revert AppNotForEnclave(deal.tag, appTag);

        deal.app.pointer = appOrder.app;
        if (requestOrder.app != deal.app.pointer) {
            revert ResourceMismatch(OrderKind.APP, requestOrder.app, deal.app.pointer);
        }
        deal.dataset.pointer = datasetOrder.dataset;
        if (requestOrder.dataset != deal.dataset.pointer) {
            revert ResourceMismatch(OrderKind.DATASET, requestOrder.dataset, deal.dataset.pointer);
        }
        deal.workerpool.pointer = workerpoolOrder.workerpool;
        deal.requester = requestOrder.requester;
        deal.beneficiary = requestOrder.beneficiary;
        deal.callback = requestOrder.callback;
    }

    function _checkRestrictions(
        AppOrder calldata appOrder,
        DatasetOrder calldata datasetOrder,
        WorkerpoolOrder calldata workerpoolOrder,
        RequestOrder calldata requestOrder
    ) private view {
        address app = appOrder.app;
        address dataset = datasetOrder.dataset;
        address pool = workerpoolOrder.workerpool;
        address requester = requestOrder.requester;
        _checkRestriction(Restriction.REQUEST_WORKERPOOL, requestOrder.workerpool, pool);
        _checkRestriction(Restriction.APP_DATASET, appOrder.datasetrestrict, dataset);
        _checkRestriction(Restriction.APP_WORKERPOOL, appOrder.workerpoolrestrict, pool);
        _checkRestriction(Restriction.APP_REQUESTER, appOrder.requesterrestrict, requester);
        _checkRestriction(Restriction.DATASET_APP, datasetOrder.apprestrict, app);
        _checkRestriction(Restriction.DATASET_WORKERPOOL, datasetOrder.workerpoolrestrict, pool);
        _checkRestriction(Restriction.DATASET_REQUESTER, datasetOrder.requesterrestrict, requester);
        _checkRestriction(Restriction.WORKERPOOL_APP, workerpoolOrder.apprestrict, app);
        _checkRestriction(Restriction.WORKERPOOL_DATASET, workerpoolOrder.datasetrestrict, dataset);
        _checkRestriction(Restriction.WORKERPOOL_REQUESTER, workerpoolOrder.requesterrestrict, requester);
    }

    /// Who owns the resources, and that they and the requester have signed.
    function _authenticate(
        Deal memory deal,
        Hashes memory hashes,
        AppOrder calldata appOrder,
        DatasetOrder calldata datasetOrder,
        WorkerpoolOrder calldata workerpoolOrder,
        RequestOrder calldata requestOrder
    ) private view {
        hashes.domain = OrderHash.separator();

        deal.app.owner = _apps.ownerOfEntry(deal.app.pointer);
        hashes.app = OrderHash.typedData(hashes.domain, OrderHash.structHash(appOrder));
        _checkSigner(OrderKind.APP, deal.app.pointer, deal.app.owner, hashes.app, appOrder.sign);

        if (deal.dataset.pointer == address(0)) {
            deal.dataset.price = 0;
        } else {
            deal.dataset.owner = _datasets.ownerOfEntry(deal.dataset.pointer);
            hashes.dataset = OrderHash.typedData(hashes.domain, OrderHash.structHash(datasetOrder));
            _checkSigner(
                OrderKind.DATASET,
                deal.dataset.pointer,
                deal.dataset.owner,
                hashes.dataset,
                datasetOrder.sign
            );
        }

        uint256 stakeRatio;
        (deal.workerpool.owner, stakeRatio, deal.schedulerRewardRatio) = _workerpools.terms(deal.workerpool.pointer);
        deal.workerStake = (deal.workerpool.price * stakeRatio) / 100;
        hashes.workerpool = OrderHash.typedData(hashes.domain, OrderHash.structHash(workerpoolOrder));
        _checkSigner(
            OrderKind.WORKERPOOL,
            deal.workerpool.pointer,
            deal.workerpool.owner,
            hashes.workerpool,
            workerpoolOrder.sign
        );

        hashes.request = OrderHash.typedData(hashes.domain, OrderHash.structHash(requestOrder));
        _checkSigner(OrderKind.REQUEST, deal.requester, deal.requester, hashes.request, requestOrder.sign);
    }

    /// The volume of the deal is what the smallest order has left.
    function _consume(
        Deal memory deal,
        Hashes memory hashes,
        uint256 appVolume,
        uint256 datasetVolume,
        uint256 poolVolume,
        uint256 requestVolume
    ) private {
        bool hasDataset = deal.dataset.pointer != address(0);
        uint256 volume = DealCode.MAX_VOLUME;
        volume = _least(volume, OrderKind.APP, hashes.app, appVolume);
        if (hasDataset) volume = _least(volume, OrderKind.DATASET, hashes.dataset, datasetVolume);
        volume = _least(volume, OrderKind.WORKERPOOL, hashes.workerpool, poolVolume);
        volume = _least(volume, OrderKind.REQUEST, hashes.request, requestVolume);

        deal.botFirst = _orders[hashes.request].consumed;
        // indexes of a bag have their limit in the deal's code
        if (deal.botFirst > DealCode.MAX_CONSUMED - volume) revert OrderConsumed(OrderKind.REQUEST, hashes.request);
        deal.botSize = volume;
        _orders[hashes.app].consumed += uint96(volume);
        if (hasDataset) _orders[hashes.dataset].consumed += uint96(volume);
        _orders[hashes.workerpool].consumed += uint96(volume);
        _orders[hashes.request].consumed += uint96(volume);
    }

    /// Lock the money, then write the deal.
    function _record(Deal memory deal, bytes32 dealId, RequestOrder calldata requestOrder) private {
        CategoryState storage category = _categories[deal.category];
        if (!category.exists) revert UnknownCategory(deal.category);
        deal.startTime = block.timestamp;
        uint256 price = deal.app.price + deal.dataset.price + deal.workerpool.price;
        _lock(deal.sponsor, price * deal.botSize);
        _lock(deal.workerpool.owner, ((deal.workerpool.price * WORKERPOOL_STAKE_RATIO) / 100) * deal.botSize);
        _deals[dealId] = DealCode.store(dealId, deal, category.workClockTimeRef, requestOrder.params);
    }

    function _least(
        uint256 volume,
        OrderKind kind,
        bytes32 orderHash,
        uint256 orderVolume
    ) private view returns (uint256) {
        uint256 left = _remaining(orderHash, orderVolume);
        if (left == 0) revert OrderConsumed(kind, orderHash);
        return left < volume ? left : volume;
    }

    function _checkPrice(OrderKind kind, uint256 price, uint256 maxPrice) private pure {
        if (price > maxPrice) revert PriceTooHigh(kind, price, maxPrice);
    }

    function _checkRestriction(Restriction restriction, address allowed, address actual) private view {
        if (!_allows(allowed, actual)) revert RestrictionNotMet(restriction, allowed, actual);
    }

    function _checkSigner(
        OrderKind kind,
        address resource,
        address signer,
        bytes32 orderHash,
        bytes calldata signature
    ) private view {
        if (signer == address(0)) revert ResourceNotRegistered(kind, resource);
        if (_orders[orderHash].presigner == signer) return;
        if (!Signatures.isValid(signer, orderHash, signature)) revert InvalidOrderSignature(kind, signer, orderHash);
    }
}
