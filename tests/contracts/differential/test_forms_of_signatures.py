"""The forms of a signature that count are the same on both sides (Anvil recovers from a high s, Ganache does not)."""

import pytest

from poco.hexes import to_bytes

HASH = "0x" + "5a" * 32
ORDER_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def parts(signature):
    return signature[:32], int.from_bytes(signature[32:64], "big"), signature[64]


def short(signature):
    """EIP-2098."""
    r, s, v = parts(signature)
    return r + (s | (v - 27) << 255).to_bytes(32, "big")


def mirrored(signature):
    """The same point with the other s, above half of the order."""
    r, s, v = parts(signature)
    return r + (ORDER_N - s).to_bytes(32, "big") + bytes([55 - v])


FORMS = {
    "as it is": (lambda signature: signature, True),
    "short": (short, True),
    "high s": (mirrored, False),
    "high s, short": (lambda signature: short(mirrored(signature)), False),
    "other v": (lambda signature: signature[:64] + bytes([55 - signature[64]]), False),
    "v of 0 or 1": (lambda signature: signature[:64] + bytes([signature[64] - 27]), False),
    "too long": (lambda signature: signature + b"\0", None),
    "too short": (lambda signature: signature[:63], None),
    "nothing": (lambda _: b"", None),
}


@pytest.mark.parametrize("form", FORMS)
def test_same_verdict(contrast, form):
    """True, false, or refused as no signature at all."""
    change, expected = FORMS[form]
    requester = contrast.cast.requester
    signature = change(requester.sign((HASH, HASH))[0])
    verdicts = []
    for side in contrast.sides:
        reply = contrast.ask(side, "verifySignature", requester.address, to_bytes(HASH), signature)
        verdicts.append(bool(int(reply["result"], 16)) if "result" in reply else None)
    assert verdicts == [expected, expected]
