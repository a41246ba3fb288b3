"""Results as the requester gets them: downloaded, checked against CID and chain, unpacked without trust."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from chain.model import Deal, Task
from poco import result
from poco.errors import ERROR_RESULT_CAUSES, BadInputError, Cause, PewError
from poco.states import ChainTaskStatus
from poco.ziptree import UnsafeZipError, ZipTree
from sdk.service import Service

MAX_ZIP_BYTES = 1024**3
MAX_UNPACKED_BYTES = 4 * 1024**3
_CID = re.compile(r"/ipfs/(b[a-z2-7]{58})")


class ResultInvalidError(PewError):
    """What was downloaded is not what the workers agreed on."""

    def __init__(self, message: str, hint: str = "do not use it; ask the pool's owner for the right one") -> None:
        super().__init__(message, hint=hint, code="RESULT_INVALID")


@contextmanager
def opened(path: Path) -> Iterator[ZipTree]:
    """A result zip as the file tree it holds; what is unsafe or broken in it is a ResultInvalidError."""
    try:
        with path.open("rb") as file:
            yield ZipTree(file, MAX_UNPACKED_BYTES)
    except UnsafeZipError as error:
        raise ResultInvalidError(f"{path.name} is refused: {error.message}") from None


@dataclass(frozen=True, slots=True)
class Result:
    """A verified result.

    `error` is the cause where the workers agreed that the task cannot be run, None for a real result; `folder` is
    where it was unpacked (None where that was not asked for); `computed` is what it says its output is.
    """

    task_id: str
    digest: str
    cid: str
    zip_path: Path
    folder: Path | None
    files: tuple[str, ...]
    error: Cause | None


def error_of(tree: ZipTree, *, callback: bool) -> Cause | None:
    """The cause of an error result: only what equals the agreed form of one counts."""
    content = tree.read(PurePosixPath(result.ERROR_FILE), 1000)
    if content is None or len(tree.files()) != 2:
        return None
    for cause in ERROR_RESULT_CAUSES:
        form = result.error_result(cause, callback=callback)
        if all(tree.read(PurePosixPath(name), 1000) == body for name, body in form.items()):
            return cause
    return None


def cid_on_chain(task: Task) -> str:
    """The CID that `finalize` stored.

    Raises:
        BadInputError: the task is not completed, or its result is not kept as a zip.
    """
    if task.status is not ChainTaskStatus.COMPLETED:
        raise BadInputError(
            f"task {task.id} is {task.status.name}, it has no result (yet)", hint=f"pew task watch {task.id}"
        )
    location = result.on_chain_location(task.results)
    match = _CID.fullmatch(location) if location else None
    if match is None:
        raise BadInputError(
            f"task {task.id} names no result zip that can be checked", hint="ask the pool's owner where it is"
        )
    return match[1]


def verify(tree: ZipTree, task: Task, deal: Deal) -> Cause | None:
    """Hold a result against the digest on chain; returns the cause where it is an error result.

    Raises:
        ResultInvalidError: it is another one.
    """
    try:
        found = result.digest(tree, callback=deal.has_callback)
    except result.ResultError as error:
        raise ResultInvalidError(f"the zip holds no result: {error.message}") from None
    if found != task.digest:
        raise ResultInvalidError(f"the result's digest is {found}, the workers agreed on {task.digest}")
    return error_of(tree, callback=deal.has_callback)


def _unpack(tree: ZipTree, folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in tree.files():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            for chunk in tree.chunks(name):
                file.write(chunk)


def download(
    service: Service,
    task: Task,
    deal: Deal,
    folder: Path,
    *,
    unpack: bool = True,
    max_bytes: int = MAX_ZIP_BYTES,
) -> Result:
    """Fetch the zip to `<folder>/result.zip`, check CID and digest, unpack it to `<folder>/iexec_out/`.

    A result that is not the right one is not kept; what an earlier download left is not overwritten.

    Raises:
        BadInputError: the task has no such result, or the folder holds one already.
        ResultInvalidError: bytes or digest are not what the chain says.
        sdk.service.ServiceError: it could not be fetched.
    """
    cid = cid_on_chain(task)
    path, out = folder / "result.zip", folder / "iexec_out"
    for taken in (path, out):
        if taken.exists():
            raise BadInputError(f"{taken} exists already", hint="move it away, or name another folder with --output")
    sha256 = service.download(f"/ipfs/{cid}", path, max_bytes)
    try:
        if result.cid_of(sha256) != cid:
            raise ResultInvalidError(f"{service.url} sent other bytes than those of {cid}")
        with opened(path) as tree:
            cause = verify(tree, task, deal)
            names = tuple(str(name) for name in tree.files())
            if unpack:
                _unpack(tree, out)
    except PewError:
        path.unlink()
        shutil.rmtree(out, ignore_errors=True)
        raise
    return Result(task.id, task.digest, cid, path, out if unpack else None, names, cause)


def sha256_of(path: Path) -> str:
    """`0x` sha-256 of a file: a dataset's checksum on chain."""
    try:
        with path.open("rb") as file:
            return "0x" + hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadInputError(f"cannot read {path}: {error.strerror}", hint="check the path") from None
