"""The names of all instants at which a process can be killed, and who passes them.

`task:X`, `replicate:X`: the scheduler has committed that status; with `writing-` before it: the transaction is open.
`outbox:<transaction>:<step>`: the scheduler's own transactions. `stage:X`: the worker's journal has that stage.
`journal:...`: the points around the worker's effects.
"""

from __future__ import annotations

from poco.states import ReplicateStatus, TaskStatus
from scheduler.model import Tx
from worker.table import Stage

#: Steps of a transaction of the scheduler: in the outbox, signed and kept, given to the node, done.
OUTBOX_STEPS = ("QUEUED", "SENT", "broadcast", "DONE")

SCHEDULER = (
    *(f"{when}task:{status}" for status in TaskStatus for when in ("", "writing-")),
    *(f"{when}replicate:{status}" for status in ReplicateStatus for when in ("", "writing-")),
    *(f"outbox:{kind}:{step}" for kind in Tx for step in OUTBOX_STEPS),
    "upload:stored",
    "notified",
)
#: Transactions of a worker.
WORKER_STEPS = ("contribute", "reveal", "contributeAndFinalize", "deposit")
WORKER = (
    *(f"stage:{stage}" for stage in Stage),
    *(f"journal:{when}-prepared-{step}" for step in WORKER_STEPS for when in ("before", "after")),
    *(f"journal:sent-{step}" for step in WORKER_STEPS),
    *(f"journal:{when}-mined" for when in ("before", "after")),
    *(f"journal:{when}-container-{what}" for what in ("made", "ended") for when in ("before", "after")),
    *(f"journal:{when}-result" for when in ("before", "after")),
    "journal:delivered",
    "journal:image-pulled",
    "journal:container-removed",
    "journal:upload-begins",
    "journal:uploaded",
    "journal:earned",
    "journal:reported",
)
