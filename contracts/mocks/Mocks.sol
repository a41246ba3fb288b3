// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IERC1271} from "../interfaces/IERC1271.sol";
import {IERC734} from "../interfaces/IERC734.sol";
import {IOracleConsumer} from "../interfaces/IOracleConsumer.sol";

/// A wallet that signs for whatever hashes it was told, and calls what its owner says.
contract ContractWallet is IERC1271 {
    mapping(bytes32 => bool) public approved;

    function approveHash(bytes32 hash) external {
        approved[hash] = true;
    }

    function execute(address target, bytes calldata data) external {
        (bool success, bytes memory answer) = target.call(data);
        if (!success) {
            assembly {
                revert(add(answer, 32), mload(answer))
            }
        }
    }

    function isValidSignature(bytes32 hash, bytes calldata) external view override returns (bytes4) {
        return approved[hash] ? IERC1271.isValidSignature.selector : bytes4(0);
    }
}

/// A group of accounts.
contract Group is IERC734 {
    mapping(bytes32 => bool) public members;

    function add(address account) external {
        members[bytes32(uint256(uint160(account)))] = true;
    }

    function keyHasPurpose(bytes32 key, uint256 purpose) external view override returns (bool) {
        return purpose == 4 && members[key];
    }
}

/// A receiver of results that can be told to misbehave.
contract Receiver is IOracleConsumer {
    enum Mode {
        KEEP,
        REVERT,
        BURN_GAS,
        REENTER,
        LONG_ANSWER
    }

    Mode public mode;
    address public target;
    bytes public payload;
    bool public reentered;
    mapping(bytes32 => bytes) public received;

    function set(Mode mode_, address target_, bytes calldata payload_) external {
        mode = mode_;
        target = target_;
        payload = payload_;
    }

    function receiveResult(bytes32 id, bytes calldata result) external override {
        if (mode == Mode.REVERT) revert("not today");
        if (mode == Mode.BURN_GAS) while (true) {}
        if (mode == Mode.REENTER) (reentered, ) = target.call(payload);
        if (mode == Mode.LONG_ANSWER) {
            assembly {
                revert(0, 20000)
            }
        }
        received[id] = result;
    }
}

/// A signer and group whose every answer is very long.
contract Babbler {
    fallback() external {
        assembly {
            return(0, 100000)
        }
    }
}
