"""Submitting a contract's source to a block explorer: the API of Etherscan's second version, which others speak too."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import requests

from poco.errors import BadInputError, PewError
from sdk.rollout.build import Artifact
from sdk.rollout.network import Explorer

_TIMEOUT = 30.0
#: Looks at a submission that is in the queue, and tries of a request that fails.
_LOOKS, _TRIES = 60, 4
_DONE = ("pass - verified", "already verified")


@dataclass(frozen=True, slots=True)
class Submission:
    """What became of one contract's source."""

    contract: str
    address: str
    good: bool
    said: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def read_key(explorer: Explorer) -> str:
    """The API key from its file, which only its owner may read; BadInputError otherwise."""
    path = Path(explorer.key_file).expanduser()
    try:
        mode, key = path.stat().st_mode, path.read_text().strip()
    except OSError as error:
        raise BadInputError(
            f"cannot read the explorer's key in {path}: {error.strerror}", hint="write it there, or use --no-source"
        ) from None
    if mode & 0o077:
        raise BadInputError(f"others may read {path}", hint=f"chmod 600 {path}")
    if not key:
        raise BadInputError(f"{path} is empty", hint="write the explorer's API key into it")
    return key


def submit(
    explorer: Explorer, chain_id: int, artifact: Artifact, where: str, *, arguments: bytes, key: str
) -> Submission:
    """Submit one contract and wait for the verdict.

    Args:
        artifact: the compiled contract; its standard JSON input is what is sent.
        where: the address.
        arguments: the constructor's, encoded.
        key: of the API.

    Raises:
        PewError: the explorer does not answer, or not in its form.
    """
    form = {
        "module": "contract",
        "action": "verifysourcecode",
        "codeformat": "solidity-standard-json-input",
        "sourceCode": json.dumps(artifact.standard_input),
        "contractaddress": where,
        "contractname": f"{artifact.data['sourcePath']}:{artifact.name}",
        "compilerversion": artifact.compiler,
        # the API's own spelling
        "constructorArguements": arguments.hex(),
    }
    said, good = _ask(explorer, chain_id, key, form)
    if not good:
        return Submission(artifact.name, where, said.lower().startswith("contract source code already verified"), said)
    question = {"module": "contract", "action": "checkverifystatus", "guid": said}
    for _ in range(_LOOKS):
        said, _good = _ask(explorer, chain_id, key, question)
        if not said.lower().startswith("pending"):
            break
        time.sleep(explorer.poll_seconds)
    return Submission(artifact.name, where, said.lower().startswith(_DONE), said)


def _ask(explorer: Explorer, chain_id: int, key: str, form: dict[str, str]) -> tuple[str, bool]:
    """(what the API says, whether it took it). Its key is in the body, where no proxy logs it."""
    pause = explorer.poll_seconds
    trouble = ""
    for _ in range(_TRIES):
        try:
            reply = requests.post(
                explorer.api, params={"chainid": str(chain_id)}, data={**form, "apikey": key}, timeout=_TIMEOUT
            )
            trouble = f"HTTP {reply.status_code}"
            if reply.status_code == 200:
                answer = reply.json()
                said, good = str(answer["result"]), str(answer["status"]) == "1"
                if "rate limit" not in said.lower():
                    return said, good
                trouble = said
        except requests.RequestException as error:
            trouble = type(error).__name__
        except (ValueError, KeyError, TypeError):
            trouble = "not an answer of this API"
        time.sleep(pause)
        pause *= 2
    raise PewError(f"the explorer at {explorer.api} failed: {trouble}", hint="later: pew rollout verify")
