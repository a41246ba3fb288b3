"""`PUT /results/<task>`: take a stream, hold it against what was revealed on chain, keep it.

With `?digest=` the worker delivers before anything is on chain: the stream is held against that digest, and the worker
finalizes with the location it is answered (contributeAndFinalize, of trust 1 alone).
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

from sqlalchemy import delete, insert, select
from starlette.concurrency import run_in_threadpool

from poco.ids import result_hash
from poco.states import PENDING_REPLICATE
from poco.wire import ResultLink
from scheduler import core, results, store
from scheduler import model as m
from scheduler import tables as t
from scheduler.engine import Engine
from scheduler.log import log
from scheduler.results import Limits, ResultRefusedError
from scheduler.watcher import Watcher
from scheduler.web import HttpError

#: A worker that sends nothing for so long has hung up.
STALL_SECONDS = 60
MAX_AT_ONCE = 16


class Uploads:
    """Results in `folder`, named by their CID; half of one lies beside them as `.upload-*` and is removed at start."""

    def __init__(self, engine: Engine, watcher: Watcher, folder: Path, max_bytes: int) -> None:
        self._engine = engine
        self._watcher = watcher
        self.folder = folder
        self._limits = Limits(packed=max_bytes, unpacked=4 * max_bytes)
        self._places = asyncio.Semaphore(MAX_AT_ONCE)
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".upload-*"):
            left.unlink()

    async def take(
        self, task_id: str, worker: str, length: str | None, body: AsyncIterator[bytes], claimed: str | None = None
    ) -> ResultLink:
        """Receive, check and keep a result.

        Args:
            claimed: digest of a result that is delivered before it is contributed.

        Raises:
            HttpError: 404 no such task, 409 nothing was revealed by this worker (or: it is not alone on the task), 411,
                413, 507.
            ResultRefusedError: it does not hash to what was revealed (or claimed).
        """
        size = self._size(length)
        permit = self._revealed if claimed is None else self._alone
        task = await run_in_threadpool(permit, task_id, worker)
        if claimed is None and task.location is not None:
            async for _ in body:  # an answer in the midst of a request is lost
                pass
            return ResultLink(location=task.location)
        path = self.folder / f".upload-{secrets.token_hex(16)}"
        try:
            async with self._places:
                await self._receive(path, size, body)
                if claimed is not None:
                    return await run_in_threadpool(self._keep_delivered, task, worker, path, claimed)
                return await run_in_threadpool(self._check_and_keep, task, worker, path)
        finally:
            with suppress(FileNotFoundError):
                path.unlink()

    def _size(self, length: str | None) -> int:
        if length is None or not length.isascii() or not length.isdigit() or len(length) > 16:
            raise HttpError(HTTPStatus.LENGTH_REQUIRED, "LENGTH_REQUIRED", "Content-Length is missing")
        size = int(length)
        if size > self._limits.packed:
            raise HttpError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "TOO_LARGE",
                f"the result has {size} bytes, at most {self._limits.packed} are taken",
                "ask the pool's owner to raise max_result_bytes",
            )
        if shutil.disk_usage(self.folder).free < 2 * size:
            raise HttpError(HTTPStatus.INSUFFICIENT_STORAGE, "DISK_FULL", "no room for the result", "try again later")
        return size

    def _revealed(self, task_id: str, worker: str) -> m.Task:
        task = self._find(task_id)
        replicate = task.replicate(worker)
        if replicate is not None and not replicate.revealed:
            self._watcher.look()
            task = self._find(task_id)
            replicate = task.replicate(worker)
        if replicate is None or not replicate.revealed or task.digest is None:
            raise HttpError(
                HTTPStatus.CONFLICT,
                "NOT_REVEALED",
                f"{worker} has revealed no result of task {task_id}",
                "upload after the reveal is mined",
            )
        return task

    def _alone(self, task_id: str, worker: str) -> m.Task:
        task = self._find(task_id)
        replicate = task.replicate(worker)
        at_work = replicate is not None and (replicate.status in PENDING_REPLICATE or replicate.asked is not None)
        if not at_work or not core.may_finalize_alone(task) or self._engine.now() >= task.contribution_deadline:
            raise HttpError(
                HTTPStatus.CONFLICT,
                "NOT_ALONE",
                f"task {task_id} is not {worker}'s to finalize alone",
                "contribute the result, and upload it after the reveal is mined",
            )
        return task

    def _find(self, task_id: str) -> m.Task:
        with self._engine.store.read() as db:
            task = store.load_task(db, task_id)
        if task is None:
            raise HttpError(HTTPStatus.NOT_FOUND, "NO_SUCH_TASK", f"there is no task {task_id} in this pool")
        return task

    async def _receive(self, path: Path, size: int, body: AsyncIterator[bytes]) -> None:
        got = 0
        with path.open("xb") as file:
            stream = aiter(body)
            while True:
                try:
                    chunk = await asyncio.wait_for(anext(stream), STALL_SECONDS)
                except StopAsyncIteration:
                    break
                except TimeoutError:
                    raise HttpError(HTTPStatus.REQUEST_TIMEOUT, "STALLED", "the upload has stalled", "again") from None
                got += len(chunk)
                if got > size:
                    raise HttpError(HTTPStatus.BAD_REQUEST, "WRONG_LENGTH", "more was sent than announced")
                file.write(chunk)
        if got != size:
            raise HttpError(HTTPStatus.BAD_REQUEST, "WRONG_LENGTH", f"{got} bytes came, {size} were announced")

    def _keep_delivered(self, task: m.Task, worker: str, path: Path, claimed: str) -> ResultLink:
        found = results.check(path, callback=task.callback, limits=self._limits)
        if found.digest != claimed:
            raise ResultRefusedError(
                f"the result has digest {found.digest}, {claimed} was claimed",
                hint="upload the zip of /iexec_out as it was proven",
                code="RESULT_MISMATCH",
            )
        cid, size = results.keep(path, self.folder)
        with self._engine.store.write() as db:
            r = t.results.c
            before = db.execute(select(r.cid, r.worker).where(r.task_id == task.id)).first()
            row = {"task_id": task.id, "cid": cid, "worker": worker, "size": size, "callback_data": found.callback}
            db.execute(delete(t.results).where(r.task_id == task.id))
            db.execute(insert(t.results).values(**row, stored_at=self._engine.now()))
            if before is not None and before.worker == worker and before.cid != cid:
                shared = db.execute(select(r.task_id).where(r.cid == before.cid)).first() is not None
                if not shared:  # one delivery of each worker is kept
                    (self.folder / before.cid).unlink(missing_ok=True)
        log("delivered", task=task.id, worker=worker, cid=cid, bytes=size)
        return ResultLink(location=f"/ipfs/{cid}")

    def _check_and_keep(self, task: m.Task, worker: str, path: Path) -> ResultLink:
        try:
            found = results.check(path, callback=task.callback, limits=self._limits)
            if found.digest != task.digest or result_hash(task.id, found.digest) != task.consensus:
                raise ResultRefusedError(
                    f"the result has digest {found.digest}, {task.digest} was revealed",
                    hint="upload the zip of /iexec_out as it was proven",
                    code="RESULT_MISMATCH",
                )
        except ResultRefusedError as error:
            log("upload_refused", level="warning", task=task.id, worker=worker, error=error.message)
            self._engine.apply(task.id, m.UploadRefused(worker))
            raise
        cid, size = results.keep(path, self.folder)
        location = f"/ipfs/{cid}"
        with self._engine.store.write() as db:
            known = store.load_task(db, task.id)
            if known is not None and known.location is not None:
                return ResultLink(location=known.location)
            now = self._engine.now()
            row = {"task_id": task.id, "cid": cid, "worker": worker, "size": size, "callback_data": found.callback}
            db.execute(delete(t.results).where(t.results.c.task_id == task.id))
            db.execute(insert(t.results).values(**row, stored_at=now))
            effects = self._engine.apply_in(db, task.id, m.Uploaded(worker, location))
        self._engine.announce(effects)
        log("result", task=task.id, worker=worker, cid=cid, bytes=size)
        return ResultLink(location=location)
