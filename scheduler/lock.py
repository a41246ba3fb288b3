"""One scheduler on one data folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from poco.errors import BadInputError


def acquire(data_dir: Path) -> IO[str]:
    """Hold the folder until the returned file is closed (or the process ends, however it does).

    Raises:
        BadInputError: another scheduler holds it, or it cannot be written.
    """
    path = data_dir / "scheduler.lock"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as error:
        raise BadInputError(f"cannot write to {data_dir}: {error.strerror}", hint="check data_dir") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise BadInputError(
            f"another scheduler (process {holder}) works on {data_dir}",
            hint="stop that one, or give this one a data_dir of its own",
            code="ALREADY_RUNNING",
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
