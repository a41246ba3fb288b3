// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IHubViews} from "../interfaces/IHubViews.sol";

/// @title The contracts that the hub stands on, fixed for ever
abstract contract Parties is IHubViews {
    address public immutable override token;
    address public immutable override appregistry;
    address public immutable override datasetregistry;
    address public immutable override workerpoolregistry;

    constructor(address token_, address apps, address datasets, address workerpools) {
        token = token_;
        appregistry = apps;
        datasetregistry = datasets;
        workerpoolregistry = workerpools;
    }
}
