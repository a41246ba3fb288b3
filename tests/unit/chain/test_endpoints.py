"""Endpoints against a server that loses a request."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from chain.endpoints import PATIENCE_SECONDS, Endpoints
from chain.settings import ChainSettings
from tests.unit.chain.rpc_server import rpc_server

CHAIN_ID = 1337
ANSWERS = {"eth_chainId": hex(CHAIN_ID), "eth_estimateGas": "0x5208"}


@pytest.fixture
def forgetful() -> Iterator[str]:
    """The address of a node that never answers the first estimate, and answers all else."""
    lost, over = [], threading.Event()

    def answer(method: str, _: list[Any]) -> str:
        if method == "eth_estimateGas" and not lost:
            lost.append(method)
            over.wait(30)
            raise ConnectionError
        return ANSWERS[method]

    with rpc_server(answer) as url:
        yield url
        over.set()
    assert lost


def test_a_request_that_a_node_loses_is_asked_again_however_long_that_took(forgetful: str) -> None:
    settings = ChainSettings(request_seconds=PATIENCE_SECONDS + 0.2)
    endpoints = Endpoints([forgetful], CHAIN_ID, settings, lambda *_, **__: None)
    assert endpoints.make_request("eth_estimateGas", [{}])["result"] == "0x5208"  # type: ignore[arg-type]
