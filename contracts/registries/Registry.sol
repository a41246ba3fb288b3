// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRegistry} from "../interfaces/IRegistry.sol";
import {EntryCode} from "../libraries/EntryCode.sol";

/// The receiver's side of ERC-721.
interface IERC721Receiver {
    function onERC721Received(
        address operator,
        address from,
        uint256 tokenId,
        bytes calldata data
    ) external returns (bytes4);
}

/// @title Enumerable ERC-721 that creates what it registers
/// @notice Nobody administers a registry: an entry belongs to its owner alone.
abstract contract Registry is IRegistry {
    /// One slot per entry. `position` is its place in the owner's list; `terms` belongs to the derived registry.
    struct Entry {
        address owner;
        uint48 position;
        uint48 terms;
    }

    address public immutable override master;

    mapping(uint256 => Entry) internal _entries;
    uint256[] private _all;
    mapping(address => uint256[]) private _owned;
    mapping(uint256 => address) private _approved;
    mapping(address => mapping(address => bool)) public override isApprovedForAll;

    constructor(address implementation) {
        master = implementation;
    }

    /// @inheritdoc IRegistry
    function isRegistered(address _entry) external view override returns (bool) {
        return _entries[uint160(_entry)].owner != address(0);
    }

    /// @inheritdoc IRegistry
    function ownerOfEntry(address entry) external view override returns (address) {
        return _entries[uint160(entry)].owner;
    }

    /// @inheritdoc IRegistry
    function balanceOf(address owner) external view override returns (uint256) {
        if (owner == address(0)) revert InvalidOwner(owner);
        return _owned[owner].length;
    }

    /// @inheritdoc IRegistry
    function ownerOf(uint256 tokenId) public view override returns (address owner) {
        owner = _entries[tokenId].owner;
        if (owner == address(0)) revert NonexistentToken(tokenId);
    }

    /// @inheritdoc IRegistry
    function totalSupply() external view override returns (uint256) {
        return _all.length;
    }

    /// @inheritdoc IRegistry
    function tokenByIndex(uint256 index) external view override returns (uint256) {
        if (index >= _all.length) revert IndexOutOfBounds(address(0), index);
        return _all[index];
    }

    /// @inheritdoc IRegistry
    function tokenOfOwnerByIndex(address owner, uint256 index) external view override returns (uint256) {
        if (index >= _owned[owner].length) revert IndexOutOfBounds(owner, index);
        return _owned[owner][index];
    }

    /// @inheritdoc IRegistry
    function tokenURI(uint256 tokenId) external view override returns (string memory) {
        ownerOf(tokenId);
        return "";
    }

    /// @inheritdoc IRegistry
    function approve(address to, uint256 tokenId) external override {
        address owner = ownerOf(tokenId);
        if (msg.sender != owner && !isApprovedForAll[owner][msg.sender]) revert NotAuthorized(msg.sender, tokenId);
        _approved[tokenId] = to;
        emit Approval(owner, to, tokenId);
    }

    /// @inheritdoc IRegistry
    function getApproved(uint256 tokenId) external view override returns (address) {
        ownerOf(tokenId);
        return _approved[tokenId];
    }

    /// @inheritdoc IRegistry
    function setApprovalForAll(address operator, bool approved) external override {
        isApprovedForAll[msg.sender][operator] = approved;
        emit ApprovalForAll(msg.sender, operator, approved);
    }

    /// @inheritdoc IRegistry
    function transferFrom(address from, address to, uint256 tokenId) public override {
        address owner = ownerOf(tokenId);
        if (owner != from) revert IncorrectOwner(from, tokenId, owner);
        if (to == address(0)) revert InvalidReceiver(to);
        if (msg.sender != owner && !isApprovedForAll[owner][msg.sender] && msg.sender != _approved[tokenId]) {
            revert NotAuthorized(msg.sender, tokenId);
        }
        delete _approved[tokenId];
        emit Approval(owner, address(0), tokenId);
        _leave(owner, tokenId);
        _join(to, tokenId);
        emit Transfer(from, to, tokenId);
    }

    /// @inheritdoc IRegistry
    function safeTransferFrom(address from, address to, uint256 tokenId) external override {
        safeTransferFrom(from, to, tokenId, "");
    }

    /// @inheritdoc IRegistry
    function safeTransferFrom(address from, address to, uint256 tokenId, bytes memory _data) public override {
        transferFrom(from, to, tokenId);
        if (
            to.code.length > 0 &&
            IERC721Receiver(to).onERC721Received(msg.sender, from, tokenId, _data) !=
            IERC721Receiver.onERC721Received.selector
        ) revert InvalidReceiver(to);
    }

    /// @inheritdoc IRegistry
    function supportsInterface(bytes4 interfaceId) external pure override returns (bool) {
        return
            interfaceId == 0x01ffc9a7 || // ERC-165
            interfaceId == 0x80ac58cd || // ERC-721
            interfaceId == 0x5b5e139f || // its metadata
            interfaceId == 0x780e9d63; // its enumeration
    }

    /// Create the entry of `owner` that holds `data`.
    function _create(address owner, bytes memory data, uint48 terms) internal returns (address entry) {
        if (owner == address(0)) revert InvalidOwner(owner);
        if (data.length > 24_576 - EntryCode.PROXY_LENGTH) revert EntryDataTooLong(data.length);
        bytes memory code = EntryCode.creationCode(master, data);
        bytes32 salt = bytes32(uint256(uint160(owner)));
        assembly ("memory-safe") {
            entry := create2(0, add(code, 32), mload(code), salt)
        }
        if (entry == address(0)) revert AlreadyRegistered(_predict(owner, data));
        uint256 tokenId = uint160(entry);
        _entries[tokenId].terms = terms;
        _all.push(tokenId);
        _join(owner, tokenId);
        emit Transfer(address(0), owner, tokenId);
    }

    /// Address of the entry of `owner` that holds `data`, created or not.
    function _predict(address owner, bytes memory data) internal view returns (address) {
        bytes32 codeHash = keccak256(EntryCode.creationCode(master, data));
        bytes32 salt = bytes32(uint256(uint160(owner)));
        return address(uint160(uint256(keccak256(abi.encodePacked(hex"ff", address(this), salt, codeHash)))));
    }

    function _join(address owner, uint256 tokenId) private {
        Entry storage entry = _entries[tokenId];
        entry.owner = owner;
        entry.position = uint48(_owned[owner].length);
        _owned[owner].push(tokenId);
    }

    function _leave(address owner, uint256 tokenId) private {
        uint256[] storage tokens = _owned[owner];
        uint256 last = tokens[tokens.length - 1];
        uint48 position = _entries[tokenId].position;
        tokens[position] = last;
        _entries[last].position = position;
        tokens.pop();
    }
}
