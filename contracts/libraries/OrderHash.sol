// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {AppOrder, DatasetOrder, OrderOperation, RequestOrder, WorkerpoolOrder} from "./Types.sol";

/// @title EIP-712 hashes of orders
/// @notice The domain is {iExecODB, 5.0.0, chain, hub}. The signed fields of an order lie in calldata the way EIP-712
/// encodes them, so they are hashed from there as they are; a request's `params` counts as the hash of its bytes.
library OrderHash {
    string internal constant DOMAIN_NAME = "iExecODB";
    string internal constant DOMAIN_VERSION = "5.0.0";

    bytes32 private constant DOMAIN_TYPE =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant APP_TYPE =
        keccak256(
            "AppOrder(address app,uint256 appprice,uint256 volume,bytes32 tag,"
            "address datasetrestrict,address workerpoolrestrict,address requesterrestrict,"
            "bytes32 salt)"
        );
    bytes32 private constant DATASET_TYPE =
        keccak256(
            "DatasetOrder(address dataset,uint256 datasetprice,uint256 volume,bytes32 tag,"
            "address apprestrict,address workerpoolrestrict,address requesterrestrict,bytes32 salt)"
        );
    bytes32 private constant WORKERPOOL_TYPE =
        keccak256(
            "WorkerpoolOrder(address workerpool,uint256 workerpoolprice,uint256 volume,bytes32 tag,"
            "uint256 category,uint256 trust,address apprestrict,address datasetrestrict,"
            "address requesterrestrict,bytes32 salt)"
        );
    bytes32 private constant REQUEST_TYPE =
        keccak256(
            "RequestOrder(address app,uint256 appmaxprice,address dataset,uint256 datasetmaxprice,"
            "address workerpool,uint256 workerpoolmaxprice,address requester,uint256 volume,"
            "bytes32 tag,uint256 category,uint256 trust,address beneficiary,address callback,"
            "string params,bytes32 salt)"
        );
    bytes32 internal constant APP_OPERATION_TYPE =
        keccak256(
            "AppOrderOperation(AppOrder order,uint256 operation)"
            "AppOrder(address app,uint256 appprice,uint256 volume,bytes32 tag,"
            "address datasetrestrict,address workerpoolrestrict,address requesterrestrict,"
            "bytes32 salt)"
        );
    bytes32 internal constant DATASET_OPERATION_TYPE =
        keccak256(
            "DatasetOrderOperation(DatasetOrder order,uint256 operation)"
            "DatasetOrder(address dataset,uint256 datasetprice,uint256 volume,bytes32 tag,"
            "address apprestrict,address workerpoolrestrict,address requesterrestrict,bytes32 salt)"
        );
    bytes32 internal constant WORKERPOOL_OPERATION_TYPE =
        keccak256(
            "WorkerpoolOrderOperation(WorkerpoolOrder order,uint256 operation)"
            "WorkerpoolOrder(address workerpool,uint256 workerpoolprice,uint256 volume,bytes32 tag,"
            "uint256 category,uint256 trust,address apprestrict,address datasetrestrict,"
            "address requesterrestrict,bytes32 salt)"
        );
    bytes32 internal constant REQUEST_OPERATION_TYPE =
        keccak256(
            "RequestOrderOperation(RequestOrder order,uint256 operation)"
            "RequestOrder(address app,uint256 appmaxprice,address dataset,uint256 datasetmaxprice,"
            "address workerpool,uint256 workerpoolmaxprice,address requester,uint256 volume,"
            "bytes32 tag,uint256 category,uint256 trust,address beneficiary,address callback,"
            "string params,bytes32 salt)"
        );

    /// Separator of this hub on this chain; computed, as that is cheaper than to read it and right after a fork.
    function separator() internal view returns (bytes32) {
        return
            keccak256(
                abi.encode(
                    DOMAIN_TYPE,
                    keccak256(bytes(DOMAIN_NAME)),
                    keccak256(bytes(DOMAIN_VERSION)),
                    block.chainid,
                    address(this)
                )
            );
    }

    /// What is signed for a struct hash.
    function typedData(bytes32 domain, bytes32 order) internal pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, shl(240, 0x1901))
            mstore(add(free, 2), domain)
            mstore(add(free, 34), order)
            hash := keccak256(free, 66)
        }
    }

    function structHash(AppOrder calldata order) internal pure returns (bytes32 hash) {
        bytes32 kind = APP_TYPE;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, kind)
            calldatacopy(add(free, 32), order, 256)
            hash := keccak256(free, 288)
        }
    }

    function structHash(DatasetOrder calldata order) internal pure returns (bytes32 hash) {
        bytes32 kind = DATASET_TYPE;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, kind)
            calldatacopy(add(free, 32), order, 256)
            hash := keccak256(free, 288)
        }
    }

    function structHash(WorkerpoolOrder calldata order) internal pure returns (bytes32 hash) {
        bytes32 kind = WORKERPOOL_TYPE;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, kind)
            calldatacopy(add(free, 32), order, 320)
            hash := keccak256(free, 352)
        }
    }

    function structHash(RequestOrder calldata order) internal pure returns (bytes32 hash) {
        bytes32 kind = REQUEST_TYPE;
        string calldata params = order.params;
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, params.offset, params.length)
            let paramsHash := keccak256(free, params.length)
            mstore(free, kind)
            // thirteen words up to `callback`, then `params` and `salt`
            calldatacopy(add(free, 32), order, 416)
            mstore(add(free, 448), paramsHash)
            calldatacopy(add(free, 480), add(order, 448), 32)
            hash := keccak256(free, 512)
        }
    }

    /// Struct hash of an operation of kind `kind` on an order.
    function operationHash(bytes32 kind, bytes32 order, OrderOperation operation) internal pure returns (bytes32) {
        return keccak256(abi.encode(kind, order, uint256(operation)));
    }
}
