"""A device that joins by the token of its card: `python -m worker enrol`."""

from __future__ import annotations

from pathlib import Path

import requests
from pydantic import ValidationError

from chain import deployment, wallet
from poco.enrolment import Enrolled, Enrolment, enrolment_typed_data, parse_token
from poco.errors import BadInputError, PewError
from poco.wire import ErrorBody
from worker.config import WorkerConfig

_SECONDS = 30


def enrol(config: WorkerConfig, token_file: Path) -> Enrolled:
    """Show the scheduler the token, and that this device holds its wallet; then the token is removed.

    Raises:
        BadInputError: there is no token, or the scheduler refuses it.
        PewError: the scheduler does not answer.
    """
    try:
        token = parse_token(token_file.read_text())
    except (OSError, UnicodeDecodeError):
        raise BadInputError(f"cannot read the token {token_file}", hint="see the path and its owner") from None
    own = wallet.load(config.keystore, wallet.read_password(config.password_file))
    chain_id = deployment.load(config.deployment).chain_id
    signature = own.sign_typed(enrolment_typed_data(chain_id, config.workerpool, own.address, token.nonce))
    body = Enrolment(token=token, wallet=own.address, signature=signature)
    verify = str(config.ca_file) if config.ca_file else True
    try:
        answer = requests.post(
            f"{config.scheduler_url}/enrol",
            data=body.model_dump_json(), headers={"Content-Type": "application/json"}, timeout=_SECONDS, verify=verify,
        )  # fmt: skip
    except requests.RequestException as error:
        raise PewError(f"{config.scheduler_url} does not answer: {type(error).__name__}", hint="try again") from None
    try:
        if answer.status_code != requests.codes.ok:
            said = ErrorBody.model_validate_json(answer.content)
            kind = BadInputError if answer.status_code < 500 else PewError
            raise kind(f"the scheduler refuses the token: {said.message}", hint=said.hint, code=said.error)
        found = Enrolled.model_validate_json(answer.content)
    except ValidationError:
        raise PewError(f"{config.scheduler_url} is no scheduler", hint="check scheduler_url") from None
    token_file.unlink(missing_ok=True)
    return found
