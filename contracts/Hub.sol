// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IAdministration} from "./interfaces/IAdministration.sol";
import {IHubViews} from "./interfaces/IHubViews.sol";
import {Marketplace} from "./hub/Marketplace.sol";
import {Poco} from "./hub/Poco.sol";

/// @title iExec's marketplace and Proof of Contribution at one address
/// @notice Matching and the life of tasks are answered here, all else (money, views, orders on chain, administration) by
/// an extension that is fixed at deployment: nothing can be upgraded. The whole interface is IHub.
contract Hub is Marketplace, Poco {
    uint96 private constant DEFAULT_CALLBACK_GAS = 100_000;

    address private immutable _extension;

    constructor(
        address extension,
        address energyLedger
    )
        Marketplace(
            IHubViews(extension).appregistry(),
            IHubViews(extension).datasetregistry(),
            IHubViews(extension).workerpoolregistry()
        )
        Poco(energyLedger)
    {
        _extension = extension;
        _owner = msg.sender;
        _callbackGas = DEFAULT_CALLBACK_GAS;
        emit IAdministration.OwnershipTransferred(address(0), msg.sender);
    }

    fallback() external {
        address extension = _extension;
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, 0, calldatasize())
            let success := delegatecall(gas(), extension, free, calldatasize(), 0, 0)
            returndatacopy(free, 0, returndatasize())
            if iszero(success) {
                revert(free, returndatasize())
            }
            return(free, returndatasize())
        }
    }
}
