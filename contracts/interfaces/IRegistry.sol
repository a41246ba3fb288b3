// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

/// A registry: an ERC-721 whose token ids are the addresses of the entries it has created.
interface IRegistry {
    event Transfer(address indexed from, address indexed to, uint256 indexed tokenId);
    event Approval(address indexed owner, address indexed approved, uint256 indexed tokenId);
    event ApprovalForAll(address indexed owner, address indexed operator, bool approved);

    error AlreadyRegistered(address entry);
    error EntryDataTooLong(uint256 length);
    error NonexistentToken(uint256 tokenId);
    error IncorrectOwner(address from, uint256 tokenId, address owner);
    error NotAuthorized(address operator, uint256 tokenId);
    error InvalidReceiver(address receiver);
    error InvalidOwner(address owner);
    error IndexOutOfBounds(address owner, uint256 index);

    function name() external view returns (string memory);

    function symbol() external view returns (string memory);

    /// @notice Empty: what an entry is stands in the entry.
    function tokenURI(uint256 tokenId) external view returns (string memory);

    /// @notice The contract whose code the entries run.
    function master() external view returns (address);

    function isRegistered(address _entry) external view returns (bool);

    /// @notice Owner of an entry, the zero address for what was not created here.
    function ownerOfEntry(address entry) external view returns (address);

    function balanceOf(address owner) external view returns (uint256);

    function ownerOf(uint256 tokenId) external view returns (address);

    function totalSupply() external view returns (uint256);

    function tokenByIndex(uint256 index) external view returns (uint256);

    function tokenOfOwnerByIndex(address owner, uint256 index) external view returns (uint256);

    function approve(address to, uint256 tokenId) external;

    function getApproved(uint256 tokenId) external view returns (address);

    function setApprovalForAll(address operator, bool approved) external;

    function isApprovedForAll(address owner, address operator) external view returns (bool);

    function transferFrom(address from, address to, uint256 tokenId) external;

    function safeTransferFrom(address from, address to, uint256 tokenId) external;

    function safeTransferFrom(address from, address to, uint256 tokenId, bytes calldata _data) external;

    function supportsInterface(bytes4 interfaceId) external view returns (bool);
}
