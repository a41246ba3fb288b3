"""The client against a node that answers with what strangers have put on the chain."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from eth_abi.abi import encode

from chain.client import Chain
from chain.deployment import Deployment
from poco import params
from poco.params import Needs
from tests.unit.chain.rpc_server import rpc_server

CHAIN_ID = 1337
WHERE = "0x" + "11" * 20
DEAL = "0x" + "22" * 32
_PART = "(address,address,uint256)"
_DEAL = (
    f"({_PART},{_PART},{_PART},uint256,uint256,bytes32,address,address,address,bytes,"
    "uint256,uint256,uint256,uint256,uint256,address)"
)


def deal(written: bytes) -> str:
    part = (WHERE, WHERE, 1)
    fields = (part, part, part, 1, 0, b"\0" * 32, WHERE, WHERE, WHERE, written, 5, 0, 10, 3, 1, WHERE)
    return "0x" + encode([_DEAL], [fields]).hex()


@pytest.fixture
def answers() -> dict[str, str]:
    return {"eth_chainId": hex(CHAIN_ID), "eth_blockNumber": "0x5"}


@pytest.fixture
def chain(answers: dict[str, str]) -> Iterator[Chain]:
    deployment = Deployment(**{**dict.fromkeys(Deployment.__dataclass_fields__, WHERE), "chain_id": CHAIN_ID})
    with rpc_server(lambda method, _: answers[method]) as url:
        yield Chain(url, deployment)


@pytest.mark.parametrize(
    ("written", "read"),
    [(b'{"iexec_args":"1"}', '{"iexec_args":"1"}'), ("äß€😀".encode(), "äß€😀"), (b"\xff\xfe\0x", "��\0x")],
)
def test_a_deal_is_read_whatever_its_requester_has_written(
    chain: Chain, answers: dict[str, str], written: bytes, read: str
) -> None:
    """One deal that cannot be read would stop the scheduler at its block for ever."""
    answers["eth_call"] = deal(written)
    found = chain.deal(DEAL)
    assert (found.params, found.bot_size, found.worker_stake) == (read, 10, 3)
    assert params.needs(found.params) == Needs()
