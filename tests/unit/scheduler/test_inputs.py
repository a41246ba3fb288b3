"""Files that requesters send for their tasks: what is taken, kept, refused and removed."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from poco.result import cid_of
from scheduler import inputs as inputs_module
from scheduler.config import Keep
from scheduler.inputs import DAY, Inputs
from scheduler.web import HttpError

ALICE, BOB, POOR = "0x" + "0a" * 20, "0x" + "0b" * 20, "0x" + "0c" * 20


def store(folder: Path, **keep: int) -> Inputs:
    def account(wallet: str) -> Any:
        return SimpleNamespace(stake=0, locked=0 if wallet == POOR else 5)

    chain: Any = SimpleNamespace(account=account)
    return Inputs(chain, folder / "inputs", 1000, Keep(**{"input_wallet_bytes": 1500, "input_bytes": 2500, **keep}))


def cid(content: bytes) -> str:
    return cid_of(hashlib.sha256(content).digest())


def send(inputs: Inputs, content: bytes, wallet: str = ALICE, *, length: str | None = "", named: str = "") -> int:
    async def body() -> Any:
        for start in range(0, len(content), 100):
            yield content[start : start + 100]

    said = str(len(content)) if length == "" else length
    return asyncio.run(inputs.take(named or cid(content), wallet, said, body()))


def refusal(inputs: Inputs, content: bytes, wallet: str = ALICE, **how: Any) -> tuple[int, str]:
    with pytest.raises(HttpError) as error:
        send(inputs, content, wallet, **how)
    assert [path.name for path in (inputs.folder / ".wallets").iterdir() if path.is_file()] == []
    return error.value.status, error.value.code


def test_a_file_is_kept_under_its_cid(tmp_path: Path) -> None:
    inputs = store(tmp_path)
    assert send(inputs, b"x" * 700) == 700
    kept = inputs.path(cid(b"x" * 700))
    assert kept is not None and kept.read_bytes() == b"x" * 700
    assert inputs.path(cid(b"other")) is None
    assert send(inputs, b"x" * 700) == 700


def test_what_is_refused(tmp_path: Path) -> None:
    inputs = store(tmp_path)
    assert refusal(inputs, b"abc", named=cid(b"abd")) == (400, "OTHER_BYTES")
    assert refusal(inputs, b"abc", length="4") == (400, "TOO_SHORT")
    assert refusal(inputs, b"abc", length="2") == (400, "TOO_SHORT")
    assert refusal(inputs, b"abc", length=None) == (411, "LENGTH_REQUIRED")
    assert refusal(inputs, b"abc", length="-1") == (411, "LENGTH_REQUIRED")
    assert refusal(inputs, b"abc", POOR) == (403, "NO_DEPOSIT")
    assert refusal(inputs, b"x" * 1001) == (413, "TOO_LARGE")
    for name in ("../../x", "Qm", "b" + "a" * 58, "f" * 59):
        assert refusal(inputs, b"abc", named=name) == (400, "BAD_REQUEST")
    assert not [path for path in inputs.folder.iterdir() if not path.name.startswith(".")]


def test_room_is_bounded_for_a_wallet_and_for_all(tmp_path: Path) -> None:
    inputs = store(tmp_path)
    send(inputs, b"a" * 900)
    assert refusal(inputs, b"b" * 700) == (507, "NO_ROOM")
    send(inputs, b"b" * 900, BOB)
    assert refusal(inputs, b"c" * 800, "0x" + "0d" * 20) == (507, "NO_ROOM")
    assert refusal(store(tmp_path / "none", input_bytes=0), b"x") == (507, "NO_ROOM")


def test_what_is_old_goes_and_makes_room(tmp_path: Path) -> None:
    inputs = store(tmp_path, input_days=3)
    send(inputs, b"a" * 900)
    old = time.time() - 3 * DAY - 1
    os.utime(inputs.folder / cid(b"a" * 900), (old, old))
    assert inputs.path(cid(b"a" * 900)) is None
    send(inputs, b"b" * 900)
    assert [path.name for path in inputs.folder.iterdir() if not path.name.startswith(".")] == [cid(b"b" * 900)]
    assert inputs.tidy(time.time()) == 0
    assert inputs.tidy(time.time() + 4 * DAY) == 1


def test_a_stream_that_trickles_holds_no_place_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen of them would keep everybody else out."""
    monkeypatch.setattr(inputs_module, "STALL_SECONDS", 0.3)
    inputs, content = store(tmp_path), b"x" * 40
    sent = 0

    async def trickle() -> Any:
        nonlocal sent
        for number in range(len(content)):
            await asyncio.sleep(0.05)
            sent += 1
            yield content[number : number + 1]

    with pytest.raises(HttpError) as error:
        asyncio.run(inputs.take(cid(content), ALICE, str(len(content)), trickle()))
    assert (error.value.status, error.value.code) == (408, "STALLED")
    assert sent < 20
