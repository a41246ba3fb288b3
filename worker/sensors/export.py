"""Readings or footage of this device as a file that its owner may publish as a dataset."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from poco.errors import BadInputError
from poco.sensors import LONGEST, SensorRequest
from worker.config import WorkerConfig
from worker.sensors.clips import Clips
from worker.sensors.config import Keep
from worker.sensors.inputs import SensorInputs
from worker.sensors.store import Store


def summary(data_dir: Path) -> dict[str, object]:
    """The latest reading and analyses, and how many messages wait for the broker; empty before the first start."""
    path = data_dir / "sensors" / "readings.db"
    if not path.exists():
        return {}
    store = Store(path, Keep(), read_only=True)
    try:
        latest = store.latest()
        return {
            "reading": {"at": latest[0], **latest[1]} if latest else None,
            "unsent": store.unsent(),
            "analyses": {kind: store.last_analysis(kind) for kind in LONGEST},
        }
    finally:
        store.close()


def export(config: WorkerConfig, kind: str, last: int, output: Path) -> dict[str, object]:
    """Write the last seconds of a sensor; the worker may be running.

    Returns:
        What was written: `file`, `items` (readings or pictures), `bytes`, and the `sha256` to register a dataset with.

    Raises:
        BadInputError: no sensors, no such time, a file that is there already.
        PewError: nothing was measured in that time.
    """
    if config.sensors is None:
        raise BadInputError("this worker has no sensors", hint="add a `sensors` section: python -m worker sensors")
    if not 1 <= last <= LONGEST[kind]:
        raise BadInputError(f"--last {last}", hint=f"{kind} gives between 1 and {LONGEST[kind]} s")
    if output.exists():
        raise BadInputError(f"{output} is there already", hint="choose another --output")
    folder = config.data_dir / "sensors"
    store = Store(folder / "readings.db", config.sensors.keep, read_only=True)
    try:
        clips = Clips(folder / "clips", config.sensors.keep.clips_mb, read_only=True) if config.sensors.camera else None
        count = SensorInputs(config.sensors, store, clips).write(SensorRequest(kind, last), output, time.time())
    finally:
        store.close()
    with output.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"file": str(output), "items": count, "bytes": output.stat().st_size, "sha256": "0x" + digest}
