// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

/// @title Code of a registry's entries
/// @notice A minimal proxy (EIP-1167) with the entry's data behind its 45 bytes: cheap to create, immutable for ever.
library EntryCode {
    uint256 internal constant PROXY_LENGTH = 45;

    /// Creation code of an entry that runs `implementation` on `data`.
    function creationCode(address implementation, bytes memory data) internal pure returns (bytes memory) {
        return
            bytes.concat(
                hex"61",
                bytes2(uint16(PROXY_LENGTH + data.length)),
                hex"80600a3d393df3",
                hex"363d3d373d3d3d363d73",
                bytes20(implementation),
                hex"5af43d82803e903d91602b57fd5bf3",
                data
            );
    }

    /// The data of the entry in whose context this runs.
    function ownData() internal view returns (bytes memory data) {
        data = new bytes(address(this).code.length - PROXY_LENGTH);
        assembly ("memory-safe") {
            extcodecopy(address(), add(data, 32), PROXY_LENGTH, mload(data))
        }
    }
}
