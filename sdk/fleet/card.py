"""A card from which a device joins at its first boot: cloud-init's files, with a token for it alone."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from chain.wallet import Wallet
from poco.enrolment import LONGEST_SECONDS, Enrolled, Token, token_typed_data
from poco.errors import BadInputError, PewError
from sdk.fleet.inventory import Fleet
from sdk.fleet.session import log_in
from sdk.fleet.signing import allowed_signers
from sdk.fleet.state import State
from sdk.fleet.state import Token as KeptToken
from sdk.service import service_of


def make_token(
    fleet: Fleet, state: State, operator: Wallet, *, name: str, chain_id: int, now: int, hours: int
) -> Token:
    """A token for one device, signed by the operator; only its hash is kept here.

    Raises:
        BadInputError: it would live too long.
    """
    expires = now + hours * 3600
    if not 0 < expires - now <= LONGEST_SECONDS:
        raise BadInputError(f"a token lives for 1 to {LONGEST_SECONDS // 3600} hours", hint="--hours 24")
    nonce = "0x" + secrets.token_hex(32)
    signature = operator.sign_typed(token_typed_data(chain_id, fleet.pool, name, nonce, expires))
    made = Token(name=name, nonce=nonce, expires=expires, operator=operator.address, signature=signature)
    state.kept.tokens[name] = KeptToken(hash=made.hash(), expires=expires)
    state.save()
    return made


def write(fleet: Fleet, state: State, token: Token, root: Path, folder: Path) -> list[Path]:
    """`user-data` and `meta-data` for a card's boot partition, mode 0600.

    Raises:
        BadInputError: the fleet's devices cannot catch up by themselves, or the files are there already.
    """
    if fleet.pull is None:
        raise BadInputError("a card needs a place to fetch from", hint="set `pull: {url: ...}` in the fleet's file")
    unit = (root / "ops" / "systemd" / "pew-first-boot.service").read_text()
    pull = {"url": fleet.pull.url, "name": token.name, "lowest_soc": 0, "ansible": "/opt/pew/ansible/first"}
    values = {
        "name": token.name,
        "token": token.text() + "\n",
        "signers": allowed_signers(state),
        "pull": json.dumps(pull) + "\n",
        "script": (root / "ops" / "card" / "first-boot").read_text(),
        "unit": unit,
    }
    text = (root / "ops" / "card" / "user-data.yaml").read_text()
    for key, value in values.items():  # JSON's strings are YAML's
        text = text.replace(f"{{{key}}}", json.dumps(value))
    folder.mkdir(parents=True, exist_ok=True)
    files = {"user-data": text, "meta-data": json.dumps({"instance-id": f"pew-{token.hash()[2:14]}"}) + "\n"}
    written = []
    for name, content in files.items():
        path = folder / name
        try:
            path.touch(0o600, exist_ok=False)
        except FileExistsError:
            raise BadInputError(f"{path} exists already", hint="a card is for one device: empty it first") from None
        path.write_text(content)
        written.append(path)
    return written


def admitted(fleet: Fleet, state: State, operator: Wallet) -> dict[str, str]:
    """Addresses of devices that have joined by the cards of this fleet, by name.

    Raises:
        PewError: the scheduler does not answer, or does not take the operator.
    """
    service = service_of(fleet.scheduler)
    bearer = log_in(service, operator)
    try:
        found = [Enrolled.model_validate(one) for one in service.get("/fleet/enrolments", headers=bearer)]
    except (ValueError, TypeError):
        raise PewError(f"{service.url} is no scheduler", hint="check `scheduler` in the fleet's file") from None
    tokens = {kept.hash: name for name, kept in state.kept.tokens.items()}
    return {tokens[one.token]: one.wallet for one in found if one.token in tokens}
