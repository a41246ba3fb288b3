"""HTTP calls about results, logs and single replicates (docs/reference/scheduler.md)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import FileResponse
from sqlalchemy import func, select
from starlette.concurrency import run_in_threadpool

from poco.hexes import address, bytes32
from poco.states import ReplicateStatus as R
from poco.transfers import LogAnswer, LogChunk, UploadState
from scheduler import model as m
from scheduler import store
from scheduler import tables as t
from scheduler.engine import Engine
from scheduler.gateway import Gateway
from scheduler.inputs import Inputs
from scheduler.logs import Kept, TaskLogs
from scheduler.requesters import Requesters
from scheduler.retention import Retention
from scheduler.uploads import Uploads
from scheduler.views import Views
from scheduler.web import HttpError

_CID = re.compile(r"b[a-z2-7]{58}")
#: While a worker may tell what a program writes: its reports may come a little later than that.
_RUNNING = frozenset({R.CREATED, R.STARTED, R.APP_DOWNLOADED, R.DATA_DOWNLOADED, R.COMPUTING})
#: Content that is named by its hash never changes.
_FOR_EVER = "public, max-age=31536000, immutable"

Size = Annotated[int, Query(ge=1, le=2**53)]
Sha256 = Annotated[str, Query(pattern=r"^[0-9a-f]{64}$")]
Offset = Annotated[int, Query(ge=0, le=2**53)]
Authorization = Annotated[str, Header()]
ChainId = Annotated[int | None, Query(alias="chainId")]


@dataclass(frozen=True, slots=True)
class ResultServices:
    """What these calls are made of."""

    engine: Engine
    uploads: Uploads
    inputs: Inputs
    gateway: Gateway
    logs: TaskLogs
    requesters: Requesters
    views: Views
    retention: Retention


def router(s: ResultServices, wallet_of: Callable[[Request], Awaitable[str]]) -> APIRouter:
    """The calls.

    Args:
        wallet_of: whose session a request shows; it refuses those without one.
    """
    calls = APIRouter()
    _results(calls, s, wallet_of)
    _logs(calls, s, wallet_of)
    return calls


def _results(calls: APIRouter, s: ResultServices, wallet_of: Callable[[Request], Awaitable[str]]) -> None:
    @calls.get("/results/{task_id}")
    def upload_state(
        task_id: str, size: Size, sha256: Sha256, digest: str | None = None, wallet: str = Depends(wallet_of)
    ) -> UploadState:
        return s.uploads.state(bytes32(task_id), wallet, size, sha256, _claimed(digest))

    @calls.put("/results/{task_id}")
    async def upload(
        task_id: str, request: Request, digest: str | None = None, wallet: str = Depends(wallet_of)
    ) -> UploadState:
        return await s.uploads.take(bytes32(task_id), wallet, request.headers, request.stream(), _claimed(digest))

    @calls.api_route("/ipfs/{cid}", methods=["GET", "HEAD"])
    def result(cid: str, request: Request) -> Response:
        return _result(s, cid, request)

    @calls.put("/inputs/{cid}", status_code=HTTPStatus.CREATED)
    async def take_input(
        cid: str,
        request: Request,
        authorization: Authorization = "",
        content_length: Annotated[str | None, Header()] = None,
    ) -> dict[str, Any]:
        wallet = await run_in_threadpool(s.gateway.signer, authorization, s.engine.now())
        size = await s.inputs.take(cid, wallet, content_length, request.stream())
        return {"location": f"/ipfs/{cid}", "bytes": size, "days": s.inputs.keep.input_days}


def _logs(calls: APIRouter, s: ResultServices, wallet_of: Callable[[Request], Awaitable[str]]) -> None:
    @calls.put("/tasks/{task_id}/output")
    def write_log(task_id: str, body: LogChunk, wallet: str = Depends(wallet_of)) -> LogAnswer:
        task = _task(s, task_id)
        replicate = task.replicate(wallet)
        if replicate is None or replicate.status not in _RUNNING:
            raise HttpError(HTTPStatus.CONFLICT, "NOT_RUNNING", f"{wallet} does not run task {task.id}")
        return s.logs.append(task.id, wallet, body, s.engine.clock())

    @calls.get("/tasks/logs/challenge")
    def challenge(address: str, chain_id: ChainId = None) -> dict[str, Any]:
        if chain_id is not None and chain_id != s.requesters.chain_id:
            raise HttpError(HTTPStatus.BAD_REQUEST, "WRONG_CHAIN", f"this pool is on chain {s.requesters.chain_id}")
        return s.requesters.challenge(address, s.engine.now())

    @calls.get("/tasks/{task_id}/logs")
    def task_logs(task_id: str, authorization: Authorization = "") -> dict[str, Any]:
        task = _readable(s, task_id, authorization)
        found = [(worker, s.logs.read(task.id, worker)) for worker in s.logs.workers(task.id)]
        logs = [_shown(worker, kept) for worker, kept in found if kept is not None]
        if not logs:
            raise _no_logs(s, task)
        return {"chainTaskId": task.id, "computeLogsList": logs}

    @calls.get("/tasks/{task_id}/replicates/{wallet}/logs")
    def replicate_logs(
        task_id: str, wallet: str, stdout: Offset = 0, stderr: Offset = 0, authorization: Authorization = ""
    ) -> dict[str, Any]:
        task = _readable(s, task_id, authorization)
        worker = address(wallet)
        kept = s.logs.read(task.id, worker)
        if kept is None:
            raise _no_logs(s, task)
        return _shown(worker, kept, stdout, stderr)

    @calls.get("/tasks/{task_id}/replicates/{wallet}")
    def replicate(task_id: str, wallet: str) -> dict[str, Any]:
        found, worker = s.views.task(bytes32(task_id)), address(wallet)
        for one in found["replicates"] if found is not None else ():
            if one["walletAddress"] == worker:
                return {"chainTaskId": bytes32(task_id), **one}
        raise HttpError(HTTPStatus.NOT_FOUND, "NO_SUCH_REPLICATE", f"{worker} has no part in a task {task_id} here")


def _claimed(digest: str | None) -> str | None:
    return bytes32(digest) if digest is not None else None


def _result(s: ResultServices, cid: str, request: Request) -> Response:
    path = s.uploads.folder / cid
    if not _CID.fullmatch(cid):
        raise _missing(s, cid)
    given = None if path.is_file() else s.inputs.path(cid)
    if given is not None:
        path = given
    elif not path.is_file():
        raise _missing(s, cid)
    headers = {"ETag": f'"{cid}"', "Cache-Control": _FOR_EVER}
    if f'"{cid}"' in request.headers.get("if-none-match", ""):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    if given is not None:
        return FileResponse(path, media_type="application/octet-stream", filename=cid, headers=headers)
    return FileResponse(path, media_type="application/zip", filename=f"{cid}.zip", headers=headers)


def _missing(s: ResultServices, cid: str) -> HttpError:
    r = t.results.c
    with s.engine.store.read() as db:
        removed = db.scalar(select(func.max(r.removed_at)).where(r.cid == cid))
    if removed is None:
        return HttpError(HTTPStatus.NOT_FOUND, "NO_SUCH_RESULT", "there is no such result here")
    return HttpError(
        HTTPStatus.GONE,
        "RESULT_REMOVED",
        "this result was removed: it was kept as long as this pool keeps results",
        f"results are kept for {s.retention.keep.result_days} days after a task's final deadline; run the task again",
    )


def _task(s: ResultServices, task_id: str) -> m.Task:
    with s.engine.store.read() as db:
        task = store.load_task(db, bytes32(task_id))
    if task is None:
        raise HttpError(HTTPStatus.NOT_FOUND, "NO_SUCH_TASK", f"there is no task {task_id} in this pool")
    return task


def _readable(s: ResultServices, task_id: str, authorization: str) -> m.Task:
    """A task whose requester asks; workers hear that somebody follows."""
    signer = s.requesters.signer(authorization, s.engine.now())
    task = _task(s, task_id)
    s.requesters.require(signer, task.deal_id)
    s.logs.follow(task.id)
    return task


def _no_logs(s: ResultServices, task: m.Task) -> HttpError:
    return HttpError(
        HTTPStatus.NOT_FOUND,
        "NO_LOGS",
        f"there are no logs of task {task.id}",
        f"they come while it runs, and are kept for {s.retention.keep.log_days} days after its final deadline",
    )


def _shown(worker: str, kept: Kept, stdout: int = 0, stderr: int = 0) -> dict[str, Any]:
    """As iExec's client reads it; beside that, where each text begins, and whether the program has ended."""
    out, err = kept.stdout.since(stdout), kept.stderr.since(stderr)
    return {
        "walletAddress": worker,
        "stdout": out.text,
        "stderr": err.text,
        "stdoutOffset": out.begin,
        "stderrOffset": err.begin,
        "over": kept.over,
    }
