// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IApproveAndCallReceiver} from "../interfaces/IApproveAndCallReceiver.sol";
import {IERC1271} from "../interfaces/IERC1271.sol";
import {IERC734} from "../interfaces/IERC734.sol";
import {IOracleConsumer} from "../interfaces/IOracleConsumer.sol";
import {IERC721Receiver} from "../registries/Registry.sol";

/// A wallet that signs for whatever hashes it was told, and calls what its owner says. It can be told to answer badly.
contract ContractWallet is IERC1271 {
    enum Answer {
        BY_LIST,
        REVERT,
        WRONG_WORD,
        SHORT,
        LONGER_WORD
    }

    mapping(bytes32 => bool) public approved;
    Answer public answer;

    function setAnswer(Answer answer_) external {
        answer = answer_;
    }

    function approveHash(bytes32 hash) external {
        approved[hash] = true;
    }

    function execute(address target, bytes calldata data) external {
        (bool success, bytes memory returned) = target.call(data);
        if (!success) {
            assembly {
                revert(add(returned, 32), mload(returned))
            }
        }
    }

    function isValidSignature(bytes32 hash, bytes calldata) external view override returns (bytes4) {
        bytes4 magic = IERC1271.isValidSignature.selector;
        if (answer == Answer.REVERT) revert("not today");
        if (answer == Answer.WRONG_WORD) return ~magic;
        if (answer == Answer.SHORT || answer == Answer.LONGER_WORD) {
            bool short = answer == Answer.SHORT;
            assembly {
                mstore(0, or(magic, 1))
                return(0, sub(32, mul(28, short)))
            }
        }
        return approved[hash] ? magic : bytes4(0);
    }
}

/// A scheduler or worker that is also called back, and then calls the hub again, once.
contract ReentrantWallet is ContractWallet, IOracleConsumer {
    address public target;
    bytes public payload;
    bool public called;
    bool public reentered;

    function set(address target_, bytes calldata payload_) external {
        target = target_;
        payload = payload_;
    }

    function receiveResult(bytes32, bytes calldata) external override {
        if (called) return;
        called = true;
        (reentered, ) = target.call(payload);
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
                revert(0, 180000)
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

/// A signer that tries to move its money at the hub while it is asked, and signs in any case.
contract ReentrantSigner {
    address public target;
    bytes public payload;

    function set(address target_, bytes calldata payload_) external {
        target = target_;
        payload = payload_;
    }

    /// Not a view, as ERC-1271 wants it: whoever asks must see to that.
    function isValidSignature(bytes32, bytes calldata) external returns (bytes4) {
        (bool success, ) = target.call(payload);
        success;
        return IERC1271.isValidSignature.selector;
    }
}

/// A token that calls the receiver of a transfer, and a receiver that withdraws again when it is called.
contract HookedToken {
    mapping(address => uint256) public balanceOf;
    uint256 public totalSupply;
    uint8 public constant decimals = 9;

    constructor(uint256 supply) {
        totalSupply = supply;
        balanceOf[msg.sender] = supply;
    }

    function transfer(address to, uint256 value) external returns (bool) {
        return _move(msg.sender, to, value);
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        return _move(from, to, value);
    }

    function _move(address from, address to, uint256 value) private returns (bool) {
        balanceOf[from] -= value;
        balanceOf[to] += value;
        if (to.code.length > 0) {
            (bool success, ) = to.call(abi.encodeWithSignature("tokensReceived(uint256)", value));
            success;
        }
        return true;
    }
}

/// Who is called by the token while the hub pays it out.
contract GreedyHolder {
    address public hub;
    bool public gotMore;

    function withdraw(address hub_, uint256 amount) external {
        hub = hub_;
        (bool success, ) = hub_.call(abi.encodeWithSignature("withdraw(uint256)", amount));
        require(success, "refused");
    }

    function tokensReceived(uint256 value) external {
        (bool success, ) = hub.call(abi.encodeWithSignature("withdraw(uint256)", value));
        if (success) gotMore = true;
    }
}

/// Says yes or no as it was told: to a registry's token, to an allowance, and as a token that does not revert.
contract Moody is IERC721Receiver, IApproveAndCallReceiver {
    bool public willing;
    uint256 public constant totalSupply = 1_000;

    function set(bool willing_) external {
        willing = willing_;
    }

    function onERC721Received(address, address, uint256, bytes calldata) external view override returns (bytes4) {
        return willing ? IERC721Receiver.onERC721Received.selector : bytes4(0);
    }

    function receiveApproval(address, uint256, address, bytes calldata) external view override returns (bool) {
        return willing;
    }

    function transfer(address, uint256) external view returns (bool) {
        return willing;
    }

    function transferFrom(address, address, uint256) external view returns (bool) {
        return willing;
    }
}
