"""`PUT /results/<task>`: take a stream in pieces, hold it against what was revealed on chain, keep it.

With `?digest=` the worker delivers before anything is on chain: the stream is held against that digest, and the worker
finalizes with the location it is answered (contributeAndFinalize, of trust 1 alone).
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, insert, select
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from poco.ids import result_hash
from poco.states import PENDING_REPLICATE, TaskStatus
from poco.transfers import Piece, UploadState, parse_content_range, parse_repr_digest
from scheduler import core, results, store
from scheduler import model as m
from scheduler import tables as t
from scheduler.engine import Engine
from scheduler.log import log
from scheduler.partials import BusyError, Partial, Partials, Wanted, exclusive, no_room
from scheduler.replica import Replica
from scheduler.results import Limits, ResultRefusedError
from scheduler.web import HttpError

#: A worker that sends nothing for so long, or after that less than so many bytes a second, has hung up.
STALL_SECONDS = 60
SLOWEST = 1024
MAX_AT_ONCE = 64
#: Results that are opened and hashed at once.
MAX_CHECKS = 2
#: Of a refused request so much is read, so that the answer is not lost in the midst of it.
DRAINED = 32 * 2**20
_BUFFER = 2**20
_TAKE_OVER_SECONDS = 2.0
_BUSY = "another connection sends this result"


@dataclass(frozen=True, slots=True)
class Incoming:
    """A piece, the sha-256 of the whole where it can be continued, and the digest that was claimed beforehand."""

    piece: Piece
    sha256: bytes | None
    claimed: str | None


class Uploads:
    """Results in `folder`, named by their CID; half of one lies in `<folder>/.incoming` until it is whole or old."""

    def __init__(self, engine: Engine, replica: Replica, folder: Path, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._engine = engine
        self._replica = replica
        self.folder = folder
        self._checks = asyncio.Semaphore(MAX_CHECKS)
        self._at_once = 0
        #: who sends what, so that a worker that comes back need not wait for its broken connection to time out
        self._senders: dict[str, asyncio.Event] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self.partials = Partials(folder / ".incoming")

    def state(self, task_id: str, worker: str, size: int, sha256: str, claimed: str | None = None) -> UploadState:
        """How much of an upload is there; refused here is what would be refused after all bytes were sent.

        Args:
            size, sha256: of the zip; the hash as hexadecimal digits.
            claimed: as in `take`.

        Raises:
            HttpError: as `take`.
        """
        task = self._permit(task_id, worker, claimed)
        if claimed is None and task.location is not None:
            return UploadState(offset=size, location=task.location)
        offset = self.partials.size(Wanted(task_id, worker, bytes.fromhex(sha256)))
        self._require_room(size, size - offset)
        # the last byte is sent again where all are there: with it the whole is checked, whatever came between before
        return UploadState(offset=max(0, min(offset, size - 1)))

    async def take(
        self,
        task_id: str,
        worker: str,
        headers: Mapping[str, str],
        body: AsyncIterator[bytes],
        claimed: str | None = None,
    ) -> UploadState:
        """Receive a piece; with the last one check and keep the result.

        Args:
            headers: `Content-Length`; `Content-Range` and `Repr-Digest` of a piece.
            claimed: digest of a result that is delivered before it is contributed.

        Raises:
            HttpError: 404 no such task; 409 nothing was revealed by this worker (or: it is not alone on the task),
                another connection is at it, or the piece does not begin where the last one ended; 400, 408, 411, 413,
                503, 507.
            ResultRefusedError: it does not hash to what was revealed (or claimed).
        """
        incoming = self._incoming(headers, claimed)
        try:
            task = await run_in_threadpool(self._permit, task_id, worker, claimed)
        except HttpError:
            await _drain(body, incoming.piece.length)
            raise
        if claimed is None and task.location is not None:
            await _drain(body, incoming.piece.length)
            return UploadState(offset=incoming.piece.total, location=task.location)
        if self._at_once >= MAX_AT_ONCE:
            raise HttpError(HTTPStatus.SERVICE_UNAVAILABLE, "TOO_MANY_UPLOADS", "too many uploads", "try again later")
        self._at_once += 1
        try:
            return await self._take(task, worker, incoming, body)
        finally:
            self._at_once -= 1

    async def _take(self, task: m.Task, worker: str, incoming: Incoming, body: AsyncIterator[bytes]) -> UploadState:
        piece = incoming.piece
        wanted = Wanted(task.id, worker, incoming.sha256 or secrets.token_bytes(32))
        replaced = asyncio.Event()
        partial = await self._open(wanted)
        self._senders[wanted.name] = replaced
        try:
            if piece.start > partial.size:
                await _drain(body, piece.length)
                raise HttpError(
                    HTTPStatus.CONFLICT,
                    "WRONG_OFFSET",
                    f"{partial.size} bytes are there, the piece begins at {piece.start}",
                    "ask how much is there: GET /results/{task}",
                )
            partial.begin_at(piece.start)
            await _receive(partial, piece, body, replaced)
            if not piece.is_last:
                await run_in_threadpool(partial.settle)
                return UploadState(offset=partial.size)
            async with self._checks:
                return await run_in_threadpool(self._finish, task, worker, incoming, partial)
        finally:
            if self._senders.get(wanted.name) is replaced:
                del self._senders[wanted.name]
            if incoming.sha256 is None:
                partial.path.unlink(missing_ok=True)
            partial.close()

    async def _open(self, wanted: Wanted) -> Partial:
        """Take an upload over from a connection of the same worker to this process, where there is one."""
        end = time.monotonic() + _TAKE_OVER_SECONDS
        while True:
            before = self._senders.get(wanted.name)
            if before is not None:
                before.set()
            try:
                return await run_in_threadpool(self.partials.open, wanted)
            except BusyError as error:
                if time.monotonic() > end:
                    raise HttpError(HTTPStatus.CONFLICT, "UPLOAD_BUSY", error.message, error.hint) from None
            await asyncio.sleep(0.05)

    def _incoming(self, headers: Mapping[str, str], claimed: str | None) -> Incoming:
        length = headers.get("content-length")
        if length is None or not length.isascii() or not length.isdigit() or len(length) > 16:
            raise HttpError(HTTPStatus.LENGTH_REQUIRED, "LENGTH_REQUIRED", "Content-Length is missing")
        size = int(length)
        piece, sha256 = Piece(0, size, size), None
        if "repr-digest" in headers:
            sha256 = parse_repr_digest(headers["repr-digest"])
        if "content-range" in headers:
            piece = parse_content_range(headers["content-range"])
            if sha256 is None or piece.length != size:
                raise HttpError(
                    HTTPStatus.BAD_REQUEST, "BAD_REQUEST", "a piece needs Repr-Digest, and the length it names"
                )
        self._require_room(piece.total, piece.length)
        return Incoming(piece, sha256, claimed)

    def _require_room(self, total: int, more: int) -> None:
        if total > self.max_bytes:
            raise HttpError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "TOO_LARGE",
                f"the result has {total} bytes, at most {self.max_bytes} are taken",
                "ask the pool's owner to raise max_result_bytes",
            )
        if shutil.disk_usage(self.folder).free < 2 * more:
            raise no_room()

    def _permit(self, task_id: str, worker: str, claimed: str | None) -> m.Task:
        return self._revealed(task_id, worker) if claimed is None else self._alone(task_id, worker)

    def _revealed(self, task_id: str, worker: str) -> m.Task:
        task = self._find(task_id)
        replicate = task.replicate(worker)
        if replicate is not None and not replicate.revealed:
            self._replica.look()
            task = self._find(task_id)
            replicate = task.replicate(worker)
        if replicate is None or not replicate.revealed or task.digest is None:
            raise HttpError(
                HTTPStatus.CONFLICT,
                "NOT_REVEALED" if replicate is not None else "NOT_YOURS",
                f"{worker} has revealed no result of task {task_id}",
                "upload after the reveal is mined",
            )
        if task.location is None and task.status is TaskStatus.FAILED:
            raise HttpError(
                HTTPStatus.CONFLICT, "TASK_OVER", f"task {task_id} was claimed: it takes no result any more"
            )
        return task

    def _alone(self, task_id: str, worker: str) -> m.Task:
        task = self._find(task_id)
        with self._engine.store.read() as db:
            self._require_alone(db, task, worker)
        return task

    def _require_alone(self, db: Connection, task: m.Task, worker: str) -> None:
        """What another has delivered stays: it may be finalizing with that just now."""
        replicate = task.replicate(worker)
        others = (t.results.c.task_id == task.id) & (t.results.c.worker != worker)
        delivered = db.scalar(select(t.results.c.worker).where(others)) is not None
        at_work = replicate is not None and (replicate.status in PENDING_REPLICATE or replicate.asked is not None)
        late = self._engine.now() >= task.contribution_deadline
        if not at_work or delivered or late or not core.may_finalize_alone(task):
            raise HttpError(
                HTTPStatus.CONFLICT,
                "NOT_ALONE",
                f"task {task.id} is not {worker}'s to finalize alone",
                "contribute the result, and upload it after the reveal is mined",
            )

    def _find(self, task_id: str) -> m.Task:
        with self._engine.store.read() as db:
            task = store.load_task(db, task_id)
        if task is None:
            raise HttpError(HTTPStatus.NOT_FOUND, "NO_SUCH_TASK", f"there is no task {task_id} in this pool")
        return task

    # --- the last piece is there

    def _finish(self, task: m.Task, worker: str, incoming: Incoming, partial: Partial) -> UploadState:
        """Check a whole upload and keep it; what is refused is gone."""
        sha256 = partial.sha256()
        if incoming.sha256 is not None and sha256 != incoming.sha256:
            partial.drop()
            raise HttpError(
                HTTPStatus.BAD_REQUEST, "BAD_CHECKSUM", "other bytes have come than Repr-Digest names", "send it again"
            )
        try:
            limits = Limits(packed=self.max_bytes, unpacked=4 * self.max_bytes)
            found = results.check(partial.path, callback=task.callback, limits=limits)
            _require_digest(task, found.digest, incoming.claimed)
        except ResultRefusedError as error:
            partial.drop()
            log("upload_refused", level="warning", task=task.id, worker=worker, error=error.message)
            if incoming.claimed is None:
                self._engine.apply(task.id, m.UploadRefused(worker))
            raise
        partial.settle()
        row = {"worker": worker, "size": partial.size, "callback_data": found.callback}
        with exclusive(self.folder):
            cid = results.keep(partial.path, sha256, self.folder)
            row |= {"task_id": task.id, "cid": cid, "stored_at": self._engine.now()}
            location = f"/ipfs/{cid}"
            if incoming.claimed is not None:
                self._deliver(task.id, worker, row)
            else:
                location = self._upload(row, location)
        log("delivered" if incoming.claimed else "result", task=task.id, worker=worker, cid=cid, bytes=partial.size)
        return UploadState(offset=partial.size, location=location)

    def _deliver(self, task_id: str, worker: str, row: dict[str, object]) -> None:
        """Keep the row of a delivery, in the place of an earlier one of this worker."""
        mine = t.results.c.task_id == task_id
        replaced = str(row["cid"])
        try:
            with self._engine.store.write() as db:
                # others may have contributed, and uploaded, since the stream began
                task = store.lock_task(db, task_id)
                if task is not None:
                    self._require_alone(db, task, worker)
                before = db.scalar(select(t.results.c.cid).where(mine))
                db.execute(delete(t.results).where(mine))
                db.execute(insert(t.results).values(**row))
                replaced = before or replaced
        finally:
            with self._engine.store.read() as db:
                kept = db.scalar(select(t.results.c.task_id).where(t.results.c.cid == replaced).limit(1))
            if kept is None:
                (self.folder / replaced).unlink(missing_ok=True)

    def _upload(self, row: dict[str, object], location: str) -> str:
        """Keep the row of a revealed result; the location that counts, which is an earlier one where there is one."""
        task_id, worker = str(row["task_id"]), str(row["worker"])
        with self._engine.store.write() as db:
            known = store.load_task(db, task_id)
            if known is not None and known.location is not None:
                return known.location
            db.execute(delete(t.results).where(t.results.c.task_id == task_id))
            db.execute(insert(t.results).values(**row))
            effects = self._engine.apply_in(db, task_id, m.Uploaded(worker, location))
        self._engine.announce(effects)
        return location


def _require_digest(task: m.Task, found: str, claimed: str | None) -> None:
    wanted = task.digest if claimed is None else claimed
    if found != wanted or (claimed is None and result_hash(task.id, found) != task.consensus):
        raise ResultRefusedError(
            f"the result has digest {found}, {wanted} was {'revealed' if claimed is None else 'claimed'}",
            hint="upload the zip of /iexec_out as it was proven",
            code="RESULT_MISMATCH",
        )


async def _receive(partial: Partial, piece: Piece, body: AsyncIterator[bytes], replaced: asyncio.Event) -> None:
    """Write a piece as it comes; what has come is kept when it breaks off."""
    began, got, waiting = time.monotonic(), 0, bytearray()
    gone = asyncio.create_task(replaced.wait())
    stream = aiter(body)
    try:
        while chunk := await _next(stream, gone):
            got += len(chunk)
            if got > piece.length:
                raise HttpError(HTTPStatus.BAD_REQUEST, "WRONG_LENGTH", "more was sent than announced")
            waiting += chunk
            if len(waiting) >= _BUFFER:
                full, waiting = bytes(waiting), bytearray()
                await run_in_threadpool(partial.write, full)
            passed = time.monotonic() - began
            if passed > STALL_SECONDS and got < SLOWEST * passed:
                raise HttpError(HTTPStatus.REQUEST_TIMEOUT, "STALLED", "the upload is too slow", "go on with it later")
    finally:
        gone.cancel()
        partial.write(bytes(waiting))
    if got != piece.length:
        raise HttpError(HTTPStatus.BAD_REQUEST, "WRONG_LENGTH", f"{got} bytes came, {piece.length} were announced")


async def _next(stream: AsyncIterator[bytes], gone: asyncio.Task[Any]) -> bytes:
    """The next bytes; none at the end."""
    coming: asyncio.Future[bytes] = asyncio.ensure_future(anext(stream, b""))
    try:
        both: set[asyncio.Future[Any]] = {coming, gone}
        done, _ = await asyncio.wait(both, timeout=STALL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if gone in done:
            raise HttpError(HTTPStatus.CONFLICT, "UPLOAD_BUSY", _BUSY, "go on in a moment")
        if not done:
            raise HttpError(HTTPStatus.REQUEST_TIMEOUT, "STALLED", "the upload has stalled", "go on with it")
        return coming.result()
    except ClientDisconnect:
        raise HttpError(
            HTTPStatus.BAD_REQUEST, "BROKEN_OFF", "the connection has broken off", "go on with it"
        ) from None
    finally:
        coming.cancel()


async def _drain(body: AsyncIterator[bytes], length: int) -> None:
    """Read what is refused, within reason: an answer in the midst of a request is lost."""
    if length > DRAINED:
        return
    with suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(STALL_SECONDS):
            async for _ in body:
                pass
