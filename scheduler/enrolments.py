"""Devices that have joined by a token: each token once, durably, for all schedulers of the pool.

A token is used up by the file that its hash names, made where there is none, in the folder that they share.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

from fastapi import APIRouter, Depends, Request
from pydantic import ValidationError

from chain.wallet import recover_typed
from poco.enrolment import LONGEST_SECONDS, Enrolled, Enrolment, enrolment_typed_data, token_typed_data
from scheduler import web
from scheduler.sessions import Sessions
from scheduler.web import HttpError

_ASK = "ask the operator for a new token: pew fleet add NAME --card FOLDER"


class Enrolments:
    """What has joined.

    Args:
        folder: of the pool, shared by its schedulers.
        is_operator: whether a wallet may sign tokens.
    """

    def __init__(self, folder: Path, chain_id: int, workerpool: str, is_operator: Callable[[str], bool]) -> None:
        self._folder, self._chain_id, self._pool, self._is_operator = folder, chain_id, workerpool, is_operator

    def take(self, body: Enrolment, now: int) -> Enrolled:
        """Let a device join. Asked again by the same wallet with the same token the answer is the same.

        Raises:
            HttpError: 403 for a token that is not an operator's, or a signature that is not the device's; 410 for one
                that has expired; 409 for one that another wallet has used.
        """
        token = body.token
        signed = token_typed_data(self._chain_id, self._pool, token.name, token.nonce, token.expires)
        if not self._is_operator(token.operator) or recover_typed(signed, token.signature) != token.operator:
            raise HttpError(HTTPStatus.FORBIDDEN, "WRONG_TOKEN", "no operator of this pool has signed this token", _ASK)
        owned = enrolment_typed_data(self._chain_id, self._pool, body.wallet, token.nonce)
        if recover_typed(owned, body.signature) != body.wallet:
            raise HttpError(HTTPStatus.FORBIDDEN, "SIGNATURE", f"{body.wallet} has not signed this enrolment")
        path = self._folder / f"{token.hash()[2:]}.json"
        known = _read(path)
        if known is None:
            if not now <= token.expires <= now + LONGEST_SECONDS:
                raise HttpError(HTTPStatus.GONE, "TOKEN_EXPIRED", "this token has expired, or lives too long", _ASK)
            made = Enrolled(name=token.name, wallet=body.wallet, operator=token.operator, token=token.hash(), at=now)
            known = self._keep(path, made)
        if known.wallet != body.wallet:
            raise HttpError(HTTPStatus.CONFLICT, "TOKEN_USED", "this token has been used by another wallet", _ASK)
        return known

    def listed(self) -> list[Enrolled]:
        """All that have joined, the latest last."""
        found = [one for path in self._folder.glob("*.json") if (one := _read(path)) is not None]
        return sorted(found, key=lambda one: (one.at, one.token))

    def _keep(self, path: Path, made: Enrolled) -> Enrolled:
        """What the file holds in the end: this, or what another process was faster with."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = path.with_suffix(f".{secrets.token_hex(8)}")
        with new.open("w") as file:
            file.write(made.model_dump_json())
            file.flush()
            os.fsync(file.fileno())
        try:
            with suppress(FileExistsError):
                os.link(new, path)
        finally:
            new.unlink()
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return _read(path) or made


def router(enrolments: Enrolments, operators: Sessions, now: Callable[[], int]) -> APIRouter:
    """`POST /enrol` for devices, `GET /fleet/enrolments` for operators."""
    calls = APIRouter()

    def operator_of(request: Request) -> str:
        return operators.wallet_of(web.bearer(request), now())

    @calls.post("/enrol")
    def enrol(body: Enrolment) -> Enrolled:
        return enrolments.take(body, now())

    @calls.get("/fleet/enrolments", dependencies=[Depends(operator_of)])
    def listed() -> list[Enrolled]:
        return enrolments.listed()

    return calls


def _read(path: Path) -> Enrolled | None:
    try:
        return Enrolled.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:  # never as a whole file that was made by `_keep`
        raise HttpError(
            HTTPStatus.INTERNAL_SERVER_ERROR, "BROKEN_ENROLMENT", f"{path.name} is broken: {str(error)[:100]}"
        ) from None
