// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IAdministration} from "./IAdministration.sol";
import {IEscrow} from "./IEscrow.sol";
import {IHubViews} from "./IHubViews.sol";
import {IMarketplace} from "./IMarketplace.sol";
import {IOrderManagement} from "./IOrderManagement.sol";
import {IPoco} from "./IPoco.sol";

/// Everything that answers at the hub's address.
interface IHub is IMarketplace, IOrderManagement, IPoco, IEscrow, IHubViews, IAdministration {}
