"""`PUT /inputs/<cid>`: files that requesters give their tasks, kept for some days and served at `/ipfs/<cid>`.

A file lies in the folder under its CID; an empty-handed wallet, one that holds too much here already, and bytes that
are not what the CID names are refused. Beside it `.wallets/<wallet>/<cid>` is a link to it: who pays for the room.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from chain.client import Chain
from poco.result import sha256_of
from scheduler.config import Keep
from scheduler.partials import no_room
from scheduler.web import HttpError

MAX_AT_ONCE = 16
#: A requester that sends nothing for so long, or after that less than so many bytes a second, has hung up.
STALL_SECONDS = 60
SLOWEST = 1024
DRAINED = 32 * 2**20
DAY = 86_400


class Inputs:
    """The files.

    Args:
        chain: knows what a wallet has in the escrow.
        folder: takes them.
        max_bytes: of one file.
        keep: how many days, and how many bytes of one wallet and of all.
    """

    def __init__(self, chain: Chain, folder: Path, max_bytes: int, keep: Keep) -> None:
        self._chain = chain
        self.folder = folder
        self.max_bytes = max_bytes
        self.keep = keep
        self._at_once = 0
        self._wallets = folder / ".wallets"
        self._wallets.mkdir(parents=True, exist_ok=True)

    def path(self, cid: str) -> Path | None:
        """Where a file lies; None where it does not, or is too old."""
        path = self.folder / cid
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime < self.keep.input_days * DAY:
                return path
        return None

    async def take(self, cid: str, wallet: str, length: str | None, body: AsyncIterator[bytes]) -> int:
        """Receive a file; its size. One that is there already is kept for as long again.

        Raises:
            HttpError: 400 no such CID, or other bytes than it names; 403 nothing in the escrow; 408, 411, 413,
                503, 507.
        """
        expected = sha256_of(cid)
        if expected is None:
            raise HttpError(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", f"'{cid[:80]}' is no CID of a file", "CIDv1, raw")
        if length is None or not length.isascii() or not length.isdigit() or len(length) > 16:
            raise HttpError(HTTPStatus.LENGTH_REQUIRED, "LENGTH_REQUIRED", "Content-Length is missing")
        if self._at_once >= MAX_AT_ONCE:
            raise HttpError(HTTPStatus.SERVICE_UNAVAILABLE, "TOO_MANY_UPLOADS", "too many uploads", "try again later")
        self._at_once += 1
        part = self._wallets / f".{secrets.token_hex(8)}"
        try:
            size = int(length)
            try:
                await run_in_threadpool(self._permit, wallet, size)
            except HttpError:
                await _drain(body)
                raise
            if await _receive(part, size, body) != expected:
                raise HttpError(
                    HTTPStatus.BAD_REQUEST, "OTHER_BYTES", f"what was sent is not {cid}", "send the file it names"
                )
            await run_in_threadpool(self._keep, part, cid, wallet)
            return size
        finally:
            self._at_once -= 1
            part.unlink(missing_ok=True)

    def tidy(self, now: float) -> int:
        """Remove what is too old; how many files."""
        gone = 0
        for path in self._files(self.folder):
            with suppress(FileNotFoundError):
                if now - path.stat().st_mtime >= self.keep.input_days * DAY:
                    path.unlink()
                    gone += 1
        for wallet in self._wallets.iterdir():
            for link in self._files(wallet) if wallet.is_dir() else [wallet]:
                with suppress(FileNotFoundError):
                    if now - link.stat().st_mtime >= self.keep.input_days * DAY:
                        link.unlink()
        return gone

    def _permit(self, wallet: str, size: int) -> None:
        if size > self.max_bytes:
            raise HttpError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "TOO_LARGE",
                f"the file has {size} bytes, at most {self.max_bytes} are taken",
                "put it on a server of your own and name its address",
            )
        account = self._chain.account(wallet)
        if not account.stake + account.locked:
            raise HttpError(
                HTTPStatus.FORBIDDEN,
                "NO_DEPOSIT",
                f"{wallet} has nothing in the escrow: files are taken of those who can order",
                "pew account deposit <RLC>",
            )
        self.tidy(time.time())
        for what, folder, limit in (
            (f"{wallet} keeps", self._wallets / wallet, self.keep.input_wallet_bytes),
            ("all keep", self.folder, self.keep.input_bytes),
        ):
            held = sum(path.stat().st_size for path in self._files(folder))
            if held + size > limit:
                raise HttpError(
                    HTTPStatus.INSUFFICIENT_STORAGE,
                    "NO_ROOM",
                    f"{what} {held} bytes here, at most {limit} are kept",
                    f"files go after {self.keep.input_days} days; or put this one on a server of your own",
                )
        if shutil.disk_usage(self.folder).free < 2 * size:
            raise no_room()

    def _keep(self, part: Path, cid: str, wallet: str) -> None:
        mine = self._wallets / wallet
        mine.mkdir(exist_ok=True)
        target = self.folder / cid
        part.replace(target)
        (mine / cid).unlink(missing_ok=True)
        with suppress(FileExistsError):
            os.link(target, mine / cid)

    @staticmethod
    def _files(folder: Path) -> list[Path]:
        if not folder.is_dir():
            return []
        return [path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file()]


async def _drain(body: AsyncIterator[bytes]) -> None:
    """Read what a refused request sends, within bounds, so that the answer is not lost in the midst of it."""
    left = DRAINED
    with suppress(ClientDisconnect, TimeoutError):
        async with asyncio.timeout(STALL_SECONDS):
            async for chunk in body:
                left -= len(chunk)
                if left < 0:
                    return


async def _receive(part: Path, size: int, body: AsyncIterator[bytes]) -> bytes:
    """Write a stream of exactly `size` bytes to a new file; its sha-256."""
    state, held, stream, began = hashlib.sha256(), 0, aiter(body), time.monotonic()
    stalled = HttpError(HTTPStatus.REQUEST_TIMEOUT, "STALLED", "nothing more came, or too slowly", "send it again")
    short = HttpError(HTTPStatus.BAD_REQUEST, "TOO_SHORT", f"not {size} bytes were sent", "send it again")
    with part.open("xb") as file:
        while True:
            try:
                chunk = await asyncio.wait_for(anext(stream), STALL_SECONDS)
            except StopAsyncIteration:
                break
            except TimeoutError:
                raise stalled from None
            except ClientDisconnect:
                raise short from None
            held += len(chunk)
            if held > size:
                raise short
            passed = time.monotonic() - began
            if passed > STALL_SECONDS and held < SLOWEST * passed:
                raise stalled
            state.update(chunk)
            try:
                await run_in_threadpool(file.write, chunk)
            except OSError:
                raise no_room() from None
        if held != size:
            raise short
        file.flush()
        await run_in_threadpool(os.fsync, file.fileno())
    return state.digest()
