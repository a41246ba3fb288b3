"""A card's files, who needs how much money, and what is said of devices that failed."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.wallet import Wallet
from ops.console import ROOT
from poco.enrolment import LONGEST_SECONDS, parse_token
from poco.errors import BadInputError, PewError
from sdk.fleet import card, funding, inventory
from sdk.fleet.operation import Report, require_done
from sdk.fleet.playbook import HostOutcome, Outcome
from sdk.fleet.reach import Reached
from sdk.fleet.state import State

OPERATOR = Wallet(Account.from_key((7).to_bytes(32, "big")))
FLEET = """
pool: "0x4e39aB2E570d38DCe002B1473f7646f776F1027b"
scheduler: https://pool.example
deployment: deployment.json
rpc_urls: [http://127.0.0.1:8545]
pull: {url: "https://fleet.example/pull.git"}
hosts: {}
"""


@pytest.fixture
def state(tmp_path: Path) -> State:
    made = State(tmp_path / "fleet.yaml")
    made.write("publish.key", "secret")
    made.write("publish.key.pub", "ssh-ed25519 AAAAC3 operator\n")
    return made


def make(state: State, hours: int = 24) -> Any:
    fleet = inventory.parse(FLEET, state.folder / "fleet.yaml")
    return fleet, card.make_token(fleet, state, OPERATOR, name="shed-1", chain_id=1337, now=1000, hours=hours)


def test_a_card_is_for_cloud_init(state: State, tmp_path: Path) -> None:
    fleet, token = make(state)
    written = card.write(fleet, state, token, ROOT, tmp_path / "bootfs")
    assert [stat.S_IMODE(path.stat().st_mode) for path in written] == [0o600, 0o600]
    text = written[0].read_text()
    assert text.startswith("#cloud-config\n") and "secret" not in text
    data = yaml.safe_load(text)
    files = {file["path"]: file["content"] for file in data["write_files"]}
    assert parse_token(files["/etc/pew/token"]) == token and data["hostname"] == "shed-1"
    assert files["/etc/pew/pull/signers"] == 'operator namespaces="git" ssh-ed25519 AAAAC3\n'
    assert json.loads(files["/etc/pew/pull/pull.json"])["url"] == "https://fleet.example/pull.git"
    assert files["/usr/local/lib/pew/first-boot"] == (ROOT / "ops" / "card" / "first-boot").read_text()
    assert "ExecStart=/usr/local/lib/pew/first-boot" in files["/etc/systemd/system/pew-first-boot.service"]
    with pytest.raises(BadInputError, match="exists already"):
        card.write(fleet, state, token, ROOT, tmp_path / "bootfs")


def test_only_a_tokens_hash_is_kept(state: State) -> None:
    _, token = make(state)
    kept = (state.folder / "state.json").read_text()
    assert token.hash() in kept and token.nonce not in kept and token.signature not in kept


@pytest.mark.parametrize("hours", [0, -1, LONGEST_SECONDS // 3600 + 1])
def test_a_token_lives_for_a_while(state: State, hours: int) -> None:
    with pytest.raises(BadInputError, match="a token lives"):
        make(state, hours)


AMOUNTS = st.integers(0, 10**12)


@settings(max_examples=100, deadline=None)
@given(amounts=st.tuples(*[AMOUNTS] * 6))
def test_who_is_paid_needs_nothing_more(amounts: tuple[int, ...]) -> None:
    native, free, locked, held, gas, stake = amounts

    def chain(native: int, held: int) -> Any:
        return SimpleNamespace(
            native_balance=lambda _: native,
            rlc_balance=lambda _: held,
            account=lambda _: SimpleNamespace(stake=free, locked=locked),
        )

    found = funding.needs(chain(native, held), {"a": "0x"}, gas, stake)
    wei, nrlc = (found[0].wei, found[0].nrlc) if found else (0, 0)
    assert wei >= 0 and nrlc >= 0 and bool(found) == bool(wei or nrlc)
    assert free + locked + held + nrlc >= stake and 2 * (native + wei) >= gas
    assert funding.needs(chain(native + wei, held + nrlc), {"a": "0x"}, gas, stake) == []


def test_what_the_operator_lacks_is_said() -> None:
    chain: Any = SimpleNamespace(native_balance=lambda _: 10, rlc_balance=lambda _: 5)
    funding.require(chain, "0xop", [funding.Need("a", "0x", 9, 5)])
    for need in (funding.Need("a", "0x", 10, 0), funding.Need("a", "0x", 0, 6)):
        with pytest.raises(BadInputError, match="the devices need"):
            funding.require(chain, "0xop", [need])


def test_a_report_names_every_failure() -> None:
    report = Report(rows={"roof-9": Reached("asleep", "asleep until 06:40, will catch up by itself")})
    hosts = {
        "roof-1": HostOutcome(seen=True, changed=[("Unit", ["+x"])]),
        "roof-2": HostOutcome(seen=True, failed="back to release 1"),
        "roof-3": HostOutcome(),
        "roof-4": HostOutcome(seen=True, unreachable=True),
        "roof-5": HostOutcome(seen=True),
    }
    report.take(Outcome(2, hosts))
    states = {name: row.state for name, row in report.rows.items()}
    assert states == {
        "roof-9": "asleep", "roof-1": "changed", "roof-2": "failed", "roof-3": "failed", "roof-4": "failed",
        "roof-5": "unchanged",
    }  # fmt: skip
    assert not report.ok and report.as_json()["devices"]["roof-1"]["changed"] == [{"task": "Unit", "diff": ["+x"]}]
    with pytest.raises(PewError, match=r"roof-2: back to release 1; roof-3: not begun") as caught:
        require_done(report)
    assert caught.value.hint
    require_done(Report(rows={"roof-9": report.rows["roof-9"]}))
