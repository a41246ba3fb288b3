"""Simulated workers that outlive their scheduler: `python -m benchmarks.fleet.workers SPEC`.

Those of `benchmarks.scale.fleet` give up where a call fails; these ask again, as a real worker does, where an answer
does not come or says that nobody can answer now. Each notification is written into a journal before it is
acknowledged: time, wallet, type, task.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

from benchmarks.scale.client import Answer
from benchmarks.scale.fleet import Fleet, Simulated, Spec

#: A call is made again for so long, seconds.
PATIENCE = 240.0
_LATER = frozenset({429, 500, 502, 503, 504})


class Lasting(Simulated):
    """One worker; it goes on where a call was not answered."""

    def __init__(self, fleet: Fleet, number: int, journal: int) -> None:
        super().__init__(fleet, number)
        self._journal = journal
        #: transactions by what they do for which task: told again, they are not sent again
        self._sent: dict[bytes, str] = {}

    def _told(self, one: dict[str, Any]) -> None:
        line = f"{time.time():.3f} {self._wallet.address} {one['type']} {one['task_id']}\n"
        os.write(self._journal, line.encode())
        super()._told(one)

    async def _call(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, raw: bytes | None = None
    ) -> Answer:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                answer = await super()._call(method, path, body, raw=raw)
                # one that was put back from an older copy has not asked for this upload yet
                early = answer.status == HTTPStatus.CONFLICT and path.startswith("/results/")
                if not (early or answer.status in _LATER) or time.monotonic() > end:
                    return answer
            except (OSError, TimeoutError):
                if time.monotonic() > end:
                    raise
            await asyncio.sleep(self._fleet.dice.uniform(0.2, 1))

    async def _send(self, selector: bytes, arguments: bytes) -> str:
        what = selector + arguments[:32]
        if what not in self._sent:
            self._sent[what] = await super()._send(selector, arguments)
        return self._sent[what]


async def run(spec: Spec, folder: Path) -> None:
    """Log everybody in, say so by the file `ready`, work until the process is ended."""
    fleet = Fleet(spec, folder, "workers")
    fleet.begin, fleet.end = 0.0, float("inf")  # every fault counts
    journal = os.open(folder / "journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    workers = [Lasting(fleet, spec.first + number, journal) for number in range(spec.count)]
    await asyncio.gather(*(worker.join() for worker in workers))
    (folder / "ready").touch()
    lives = [asyncio.create_task(worker.live()) for worker in workers]
    while not any(life.done() for life in lives):
        (folder / "faults.json").write_text(json.dumps(fleet.seen.errors))
        await asyncio.sleep(1)
    await asyncio.gather(*lives)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    asyncio.run(run(Spec(**json.loads(path.read_text())), path.parent))
