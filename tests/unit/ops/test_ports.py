"""Ports: who holds them and what the message says."""

from __future__ import annotations

import os
import socket

import pytest

from ops.ports import answers, free_port, holder, is_free, require_ports
from poco.errors import BadInputError


def test_free_and_taken() -> None:
    port = free_port()
    assert is_free(port)
    assert not answers(port)
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free(port)
        assert answers(port)
        assert holder(port).startswith(f"pid {os.getpid()} (")
    assert is_free(port)


def test_a_listener_on_all_addresses_counts() -> None:
    with socket.create_server(("0.0.0.0", 0)) as anyone:  # noqa: S104
        assert not is_free(anyone.getsockname()[1])


def test_all_problems_are_named_at_once() -> None:
    fine = free_port()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadInputError) as refused:
            require_ports(
                {
                    "the chain": (port, "PEW_CHAIN_PORT"),
                    "the registry": (fine, "PEW_REGISTRY_PORT"),
                    "the scheduler": (fine, "PEW_SCHEDULER_PORT"),
                    "nothing": (70000, "PEW_NOTHING"),
                }
            )
    message, hint = refused.value.message, refused.value.hint
    assert f"port {port} for the chain is taken by pid {os.getpid()}" in message
    assert f"port {fine} is asked for by both the registry and the scheduler" in message
    assert "port 70000 for nothing is not between 1 and 65535" in message
    assert "PEW_CHAIN_PORT=" in hint
    assert "PEW_SCHEDULER_PORT=" in hint
    assert "PEW_REGISTRY_PORT" not in hint
    assert refused.value.exit_code == 2


def test_free_ports_pass() -> None:
    require_ports({"a": (free_port(), "A"), "b": (free_port(), "B")})
