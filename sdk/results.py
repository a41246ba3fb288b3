"""Results as the requester gets them: downloaded, checked against CID and chain, unpacked without trust."""

from __future__ import annotations

import hashlib
import re
import stat
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from chain.model import Deal, Task
from poco import result
from poco.errors import ERROR_RESULT_CAUSES, BadInputError, Cause, PewError
from poco.states import ChainTaskStatus
from sdk.service import Service

MAX_ZIP_BYTES = 1024**3
MAX_UNPACKED_BYTES = 4 * 1024**3
MAX_ENTRIES = 100_000
_CHUNK = 64 * 1024
_CID = re.compile(r"/ipfs/(b[a-z2-7]{58})")


class ResultInvalidError(PewError):
    """What was downloaded is not what the workers agreed on."""

    def __init__(self, message: str, hint: str = "do not use it; ask the pool's owner for the right one") -> None:
        super().__init__(message, hint=hint, code="RESULT_INVALID")


class ZipTree:
    """A result zip as `/iexec_out`: regular files and folders only.

    Raises:
        ResultInvalidError: broken, with links, devices, names outside, doubles, or too large when unpacked.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise ResultInvalidError(f"{path.name} is not a zip: {error}") from None
        try:
            self._files = self._checked()
        except ResultInvalidError:
            self._zip.close()
            raise
        self._folders = {PurePosixPath(), *(parent for name in self._files for parent in name.parents)}

    def close(self) -> None:
        self._zip.close()

    def __enter__(self) -> ZipTree:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def kind(self, path: PurePosixPath) -> str | None:
        if path in self._files:
            return "file"
        return "dir" if path in self._folders else None

    def children(self, path: PurePosixPath) -> Iterable[str]:
        return {name.relative_to(path).parts[0] for name in self._files if path in name.parents}

    def chunks(self, path: PurePosixPath) -> Iterator[bytes]:
        left = self._files[path].file_size
        try:
            with self._zip.open(self._files[path]) as file:
                while chunk := file.read(_CHUNK):
                    left -= len(chunk)
                    if left < 0:
                        raise ResultInvalidError(f"{path} is larger than the zip says")
                    yield chunk
        except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
            raise ResultInvalidError(f"{path} cannot be unpacked: {error}") from None

    def files(self) -> list[PurePosixPath]:
        """All files, sorted."""
        return sorted(self._files)

    def read(self, path: PurePosixPath, max_bytes: int) -> bytes | None:
        """A small file's content; None where it is not there or larger."""
        entry = self._files.get(path)
        return b"".join(self.chunks(path)) if entry is not None and entry.file_size <= max_bytes else None

    def unpack(self, folder: Path) -> list[Path]:
        """Write all files below `folder`, which must be new; returns what was written."""
        folder.mkdir(parents=True)
        written = []
        for name in self.files():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                for chunk in self.chunks(name):
                    file.write(chunk)
            written.append(target)
        return written

    def _checked(self) -> dict[PurePosixPath, zipfile.ZipInfo]:
        entries = self._zip.infolist()
        if len(entries) > MAX_ENTRIES:
            raise ResultInvalidError(f"the zip has more than {MAX_ENTRIES} entries")
        files: dict[PurePosixPath, zipfile.ZipInfo] = {}
        for entry in entries:
            path, mode = PurePosixPath(entry.filename), entry.external_attr >> 16
            if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or not path.parts:
                raise ResultInvalidError(f"the zip names {entry.filename!r}, which is not below its root")
            if entry.is_dir():
                continue
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                raise ResultInvalidError(f"{path} in the zip is not a regular file")
            if path in files:
                raise ResultInvalidError(f"{path} is twice in the zip")
            files[path] = entry
        if any(parent in files for path in files for parent in path.parents):
            raise ResultInvalidError("a name in the zip is both a file and a folder")
        if sum(entry.file_size for entry in files.values()) > MAX_UNPACKED_BYTES:
            raise ResultInvalidError(f"the zip unpacks to more than {MAX_UNPACKED_BYTES} bytes")
        return files


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


def verify(path: Path, task: Task, deal: Deal) -> tuple[ZipTree, Cause | None]:
    """Open a result zip whose digest is the one on chain.

    Raises:
        ResultInvalidError: it is another one.
    """
    tree = ZipTree(path)
    try:
        found = result.digest(tree, callback=deal.has_callback)
        if found != task.digest:
            raise ResultInvalidError(f"the result's digest is {found}, the workers agreed on {task.digest}")
        return tree, error_of(tree, callback=deal.has_callback)
    except result.ResultError as error:
        tree.close()
        raise ResultInvalidError(f"the zip holds no result: {error.message}") from None
    except BaseException:
        tree.close()
        raise


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
        tree, cause = verify(path, task, deal)
    except PewError:
        path.unlink()
        raise
    with tree:
        if unpack:
            tree.unpack(out)
        names = tuple(str(name) for name in tree.files())
    return Result(task.id, task.digest, cid, path, out if unpack else None, names, cause)


def sha256_of(path: Path) -> str:
    """`0x` sha-256 of a file: a dataset's checksum on chain."""
    try:
        with path.open("rb") as file:
            return "0x" + hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadInputError(f"cannot read {path}: {error.strerror}", hint="check the path") from None
