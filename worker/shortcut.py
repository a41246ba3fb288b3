"""`contributeAndFinalize`: one transaction in place of three, for a task of trust 1 that nobody has contributed to.

Nothing is staked before it and nothing is open after it; where it cannot be, the usual way is taken (`UsualWayError`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from chain.transactions import PendingError, RevertedError
from poco.errors import Cause, PewError
from poco.hexes import ZERO_ADDRESS, ZERO_BYTES32, to_bytes
from poco.ids import result_hash
from poco.result import COMPUTED, MAX_COMPUTED_BYTES, cid_of, on_chain_link, parse_computed
from poco.states import ChainTaskStatus, ContributionStatus
from poco.ziptree import ZipTree
from worker.chain import PoolChain, RefusalError
from worker.core import Replicate

STEP = "contributeAndFinalize"
_MAX_UNPACKED = 2**40


class UsualWayError(PewError):
    """The task cannot be finalized by this worker alone: contribute, then reveal."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What goes on chain beside the digest: where the result lies, and the bytes for the deal's callback."""

    location: str
    callback: bytes = b""


def delivery_of(archive: Path, sha256: str, *, callback: bool) -> Delivery:
    """What a proven zip is to be finalized with.

    Args:
        archive: the zip of /iexec_out.
        sha256: of its bytes, as hexadecimal digits.
        callback: whether the deal has a callback.
    """
    data: bytes | None = None
    if callback:
        with archive.open("rb") as file:
            raw = ZipTree(file, _MAX_UNPACKED).read(PurePosixPath(COMPUTED), MAX_COMPUTED_BYTES)
        data = parse_computed(raw).callback if raw is not None else None
    return Delivery(f"/ipfs/{cid_of(bytes.fromhex(sha256))}", data or b"")


def finalize(chain: PoolChain, replicate: Replicate, delivery: Delivery, stop: Callable[[], bool]) -> str | None:
    """Contribute and finalize, or find that it was done; returns the transaction where it is known.

    Raises:
        UsualWayError: somebody has contributed, or the contracts refuse this way and the task is still open.
        RefusalError: it cannot be done (any more); nothing is staked.
        ChainUnreachableError, PendingError, FeesTooHighError: ask again later.
    """
    task_id, digest, hub = replicate.task_id, replicate.digest or ZERO_BYTES32, chain.chain
    mined = chain.recover_in_time(replicate, STEP)
    found = hub.contribution(task_id, chain.me)
    if found.status is not ContributionStatus.UNSET:
        if found.result_hash != result_hash(task_id, digest):
            raise RefusalError(Cause.CHAIN_REJECTED, "this worker has contributed another result to this task")
        if found.status is ContributionStatus.PROVED:
            return mined
        raise UsualWayError("this worker has contributed already")
    if stop():
        raise RefusalError(replicate.aborted or Cause.TASK_NOT_ACTIVE, "given up before anything was sent")
    _require_alone(chain, task_id, int(time.time()))
    call = hub.hub.functions.contributeAndFinalize(
        to_bytes(task_id),
        to_bytes(digest),
        on_chain_link(delivery.location.removeprefix("/ipfs/")),
        delivery.callback,
        ZERO_ADDRESS,
        b"",
        to_bytes(replicate.authorization),
    )
    try:
        return chain.send(task_id, STEP, call).tx_hash
    except RevertedError as error:
        if hub.contribution(task_id, chain.me).status is not ContributionStatus.UNSET:
            raise PendingError(error.tx_hash or "", 0) from None
        _require_alone(chain, task_id, int(time.time()))
        raise UsualWayError(error.message, hint=error.hint) from None


def _require_alone(chain: PoolChain, task_id: str, now: int) -> None:
    task = chain.chain.task(task_id)
    if task.status in (ChainTaskStatus.REVEALING, ChainTaskStatus.COMPLETED):
        raise RefusalError(Cause.CONSENSUS_REACHED, "another worker was first")
    chain.require_open(task, now)
    if task.contributors:
        raise UsualWayError("somebody has contributed to this task already")
    chain.sender.gas_price()  # where it is dear now: what is done waits as long as it is of use
    lacking = chain.gas_lacking()
    if lacking:
        raise RefusalError(Cause.STAKE_TOO_LOW, lacking)
