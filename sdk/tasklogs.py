"""What a task's programs write, for its requester: whole, or as it comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from chain.model import Deal
from chain.wallet import Wallet, typed_hash
from poco.errors import BadInputError, PewError
from poco.hexes import address, to_hex
from poco.logtext import plain
from sdk.service import Service, ServiceError

#: Pause between two looks, and how long a program that says nothing is still looked at.
LOOK_SECONDS = 3.0
_MAX_REPLICATES = 100
#: While a task is in one of these, its programs may still write.
_WRITING = frozenset({"RECEIVED", "INITIALIZED", "RUNNING"})
_TYPES = {
    "EIP712Domain": [
        {"name": "name", "type": "string"},
        {"name": "version", "type": "string"},
        {"name": "chainId", "type": "uint256"},
    ],
    "Challenge": [{"name": "challenge", "type": "string"}],
}


@dataclass(frozen=True, slots=True)
class Piece:
    """More of what one worker's program wrote; `left_out` characters before each text are not kept any more."""

    worker: str
    stdout: str
    stderr: str
    stdout_left_out: int = 0
    stderr_left_out: int = 0
    over: bool = False


class TaskLogs:
    """The logs of one task.

    Args:
        service: the pool's scheduler.
        wallet: the requester's.
        deal, chain_id: of the task; only an answer for this pool and chain is signed.
    """

    def __init__(self, service: Service, wallet: Wallet, deal: Deal, task_id: str, chain_id: int) -> None:
        if wallet.address != deal.requester:
            raise BadInputError(
                f"only {deal.requester} may read the logs of task {task_id}",
                hint="use the requester's wallet: --wallet",
            )
        self._service, self._wallet, self._deal = service, wallet, deal
        self._task, self._chain_id = task_id, chain_id
        self._authorization = ""
        self._known: dict[str, tuple[int, int, bool]] = {}

    def read(self) -> list[Piece]:
        """What is new in all logs since the last call, whole at the first."""
        pieces = []
        for worker in self._workers():
            out, err, over = self._known.get(worker, (0, 0, False))
            if over:
                continue
            answer = self._logs(worker, out, err)
            if answer is None:
                continue
            piece = self._piece(worker, answer, out, err)
            self._known[worker] = (
                out + piece.stdout_left_out + len(piece.stdout),
                err + piece.stderr_left_out + len(piece.stderr),
                piece.over,
            )
            if piece.stdout or piece.stderr or piece.over:
                pieces.append(piece)
        return pieces

    def follow(self, sleep: Callable[[float], None] = time.sleep) -> Iterator[Piece]:
        """Pieces as they come, until nothing can come any more."""
        while True:
            writing = self._status() in _WRITING
            yield from self.read()
            if not writing:
                return
            sleep(LOOK_SECONDS)

    def _about(self) -> dict[str, Any]:
        found = self._service.get(f"/tasks/{self._task}")
        if not isinstance(found, dict):
            raise self._nonsense()
        return found

    def _status(self) -> str:
        return str(self._about().get("currentStatus"))

    def _workers(self) -> list[str]:
        try:
            return [address(one["walletAddress"]) for one in self._about().get("replicates", [])[:_MAX_REPLICATES]]
        except (KeyError, TypeError, BadInputError):
            raise self._nonsense() from None

    def _logs(self, worker: str, out: int, err: int) -> Any:
        path = f"/tasks/{self._task}/replicates/{worker}/logs"
        for again in (True, False):
            self._authorization = self._authorization or self._authorize()
            try:
                return self._service.get(path, {"stdout": out, "stderr": err}, {"Authorization": self._authorization})
            except ServiceError as error:
                if error.code == "NO_LOGS":
                    return None
                if error.status != 401 or not again:
                    raise
                self._authorization = ""
        return None

    def _authorize(self) -> str:
        """Sign the scheduler's challenge, if it is one for this pool's logs and nothing else."""
        found = self._service.get("/tasks/logs/challenge", {"chainId": self._chain_id, "address": self._wallet.address})
        domain = {"name": "iExec Core", "version": "1", "chainId": self._chain_id}
        pool = self._deal.workerpool.pointer
        expected = {"types": _TYPES, "primaryType": "Challenge", "domain": domain}
        text = found.get("message", {}).get("challenge") if isinstance(found, dict) else None
        said = isinstance(text, str) and len(text) < 500 and f" {pool}:" in text
        if not said or {**expected, "message": {"challenge": text}} != found:
            raise PewError(
                f"{self._service.url} asks for a signature that is not about the logs of pool {pool}",
                hint="check the scheduler's address: --scheduler",
                code="STRANGE_CHALLENGE",
            )
        return f"{to_hex(typed_hash(found))}_{self._wallet.sign_typed(found)}_{self._wallet.address}"

    def _piece(self, worker: str, answer: Any, out: int, err: int) -> Piece:
        try:
            texts = [plain(str(answer[name])) for name in ("stdout", "stderr")]
            offsets = [int(answer[name]) for name in ("stdoutOffset", "stderrOffset")]
            over = bool(answer["over"])
        except (KeyError, TypeError, ValueError):
            raise self._nonsense() from None
        left_out = [max(0, at - known) for at, known in zip(offsets, (out, err), strict=True)]
        return Piece(worker, texts[0], texts[1], left_out[0], left_out[1], over)

    def _nonsense(self) -> ServiceError:
        return ServiceError(f"{self._service.url}/tasks/... is not what a scheduler answers")
