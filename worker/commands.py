"""Commands as they arrive, held against the pool owner's signature and this worker's own rules, and the doctor."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from chain.wallet import recover_typed
from poco.commands import MAX_ANSWER_CHARS, CommandKind, CommandState, SignedCommand, checked, command_typed_data
from poco.errors import PewError
from poco.logtext import plain
from worker.config import WorkerConfig
from worker.orders import Commanded, Reply


class Judge:
    """Says of each command whether the pool's owner has signed it for this worker, and whether it may be obeyed.

    Args:
        chain_id, workerpool: the domain of the signatures.
        wallet: this worker's.
        obeys: kinds that this worker's own operator lets the pool's ask for.
    """

    def __init__(self, chain_id: int, workerpool: str, wallet: str, obeys: tuple[CommandKind, ...]) -> None:
        self._chain_id, self._pool, self._wallet, self._obeys = chain_id, workerpool, wallet, obeys

    def told(self, data: dict[str, Any], owner: str, seq: int) -> Commanded:
        """What a notification's command is worth.

        Args:
            data: of the notification.
            owner: of the pool, by the chain.
            seq: of the notification.
        """
        try:
            command = SignedCommand.model_validate(data)
        except ValidationError:
            return Commanded(seq, True, None, False, "it makes no sense to this version")
        if command.seq != seq or not self._signed(command, owner):
            return Commanded(seq, True, command, False, "the pool's owner has not signed it")
        return Commanded(seq, True, command, True, self._refusal(command))

    def brought(self, payload: bytes, owner: str) -> Commanded | None:
        """What a broker's message is worth; None where it is no command that the pool's owner has signed."""
        try:
            command = SignedCommand.model_validate_json(payload)
        except ValidationError:
            return None
        if not self._signed(command, owner):
            return None
        return Commanded(command.seq, False, command, True, self._refusal(command))

    def _signed(self, command: SignedCommand, owner: str) -> bool:
        typed = command_typed_data(self._chain_id, self._pool, self._wallet, command)
        try:
            return recover_typed(typed, command.signature) == owner
        except PewError:
            return False

    def _refusal(self, command: SignedCommand) -> str:
        if command.kind not in self._obeys:
            return f"this worker does not obey {command.kind} (obeys in its configuration)"
        try:
            checked(command.kind, command.arguments)
        except PewError as error:
            return error.message
        return ""


def diagnose(config: WorkerConfig, seq: int) -> Reply:
    """The doctor's report as the answer to a command: JSON, cut to what an answer may hold."""
    from worker.doctor import examine  # rarely needed, and not small

    try:
        findings = [finding.as_dict() for finding in examine(config)]
    except Exception as error:  # whatever ails the device is the answer
        return Reply(seq, CommandState.REFUSED, f"the doctor failed: {type(error).__name__}: {error}"[:1000])
    while len(text := json.dumps(findings)) > MAX_ANSWER_CHARS:
        findings.pop()
    return Reply(seq, CommandState.DONE, plain(text))
