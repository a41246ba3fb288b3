"""Where a ledger is read from: a file, a folder of files, or a pool's scheduler."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from poco.energy import Ledger, parse
from poco.errors import BadInputError
from poco.hexes import address
from sdk.service import Service

#: Ten years of one worker.
MAX_BYTES = 256 * 2**20


def read(where: str, service: Service | None) -> Ledger:
    """The ledger of `where`: the path of a file or folder, or a worker's address.

    Raises:
        BadInputError: there is none, or it is none.
        ServiceError: the scheduler has none, or does not answer.
    """
    path = Path(where)
    if path.is_dir():
        files = sorted(path.glob("*.jsonl"))
        if not files:
            raise BadInputError(f"there is no ledger in {path}", hint="its files end in .jsonl")
        return parse(line for file in files for line in _lines(file))
    if path.is_file():
        return parse(_lines(path))
    if not where.startswith("0x"):
        raise BadInputError(
            f"there is no file {where}", hint="name a ledger's file, its folder, or a worker's address with --scheduler"
        )
    worker = address(where)
    if service is None:
        raise BadInputError(
            f"where should the ledger of {worker} come from?",
            hint="name its pool's scheduler (--scheduler http://host:port), or a file",
        )
    with tempfile.TemporaryDirectory(prefix="pew-") as folder:
        file = Path(folder) / "ledger.jsonl"
        service.download(f"/ledgers/{worker}", file, MAX_BYTES)
        return parse(_lines(file))


def _lines(file: Path) -> Iterator[str]:
    try:
        with file.open(encoding="utf-8") as text:
            yield from text
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{file} cannot be read: {error}", hint="name the file of an energy ledger") from None
