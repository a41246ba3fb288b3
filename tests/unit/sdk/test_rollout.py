"""The pure parts of a rollout: network files, the journal, byte code, addresses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.book import Ended, Prepared
from chain.wallet import Wallet
from chain.wallet import create as create_wallet
from ops.console import ROOT
from poco.errors import BadInputError, PewError
from poco.hexes import address
from sdk.cli import main as pew
from sdk.rollout import build, network
from sdk.rollout.build import Match
from sdk.rollout.journal import Journal, created

HEAD: dict[str, Any] = {"chain_id": 5, "deployer": address("0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0")}
PUSH32 = b"\x7f"


@pytest.fixture(scope="module")
def wallet(tmp_path_factory: pytest.TempPathFactory) -> Wallet:
    return create_wallet(tmp_path_factory.mktemp("wallet") / "w.json", "x", iterations=1024)


def signed(wallet: Wallet, nonce: int, to: str = "", price: int = 2) -> Prepared:
    fields = {"type": 2, "maxFeePerGas": price, "maxPriorityFeePerGas": 1, "gas": 100_000, "chainId": 5}
    return Prepared(*wallet.sign_transaction({**fields, "to": to, "data": b"\x60\x01", "value": 0, "nonce": nonce}))


# networks


@pytest.mark.parametrize("path", sorted((ROOT / "networks").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_network_of_the_workspace_is_one(path: Path) -> None:
    found = network.load(path.stem, ROOT / "networks")
    assert found.network == path.stem
    brownie = yaml.safe_load((ROOT / "networks.yaml").read_text())
    known = {each["id"]: each["chainid"] for group in brownie["live"] for each in group["networks"]}
    assert known[path.stem] == found.chain_id


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"chain_id": 0}, "chain_id"),
        ({"chain_id": None}, "chain_id"),
        ({"rpc_urls": ["ftp://x"]}, "http"),
        ({"network": "../x"}, "network"),
        ({"contracts": {"Hub": "deploy"}}, "name each of"),
        ({"owner": "0x12"}, "owner"),
        ({"owner": "0x" + "0" * 40}, "nobody"),
        ({"attach": {"records": "x"}}, "iExec's"),
        ({"categories": [{"name": "XS", "seconds": 0}]}, "seconds"),
        ({"surprise": 1}, "surprise"),
        ({"fees": {"cap_gwei": -1}}, "cap_gwei"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    data = {**yaml.safe_load((ROOT / "networks" / "generic.yaml").read_text()), **change}
    (tmp_path / "n.yaml").write_text(yaml.safe_dump({k: v for k, v in data.items() if v is not None}))
    with pytest.raises(BadInputError, match=said):
        network.load(str(tmp_path / "n.yaml"))


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "\x00"])
def test_what_is_no_network_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "n.yaml").write_text(text)
    with pytest.raises(BadInputError):
        network.load(str(tmp_path / "n.yaml"))


def test_an_unknown_network_names_the_known_ones(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.chdir(ROOT)
    assert pew(["rollout", "plan", "--network", "nowhere"]) == 2
    assert "arbitrum-sepolia, ethereum-sepolia, generic" in capsys.readouterr().err


# the journal


def test_the_address_of_a_creation_is_known_before() -> None:
    # the first contracts of an account, whose addresses are told in the documentation of many tools
    assert created(HEAD["deployer"], 0) == "0xcd234A471b72ba2F1Ccf0A70FCABA648a5eeCD8d"
    assert created(HEAD["deployer"], 1) == "0x343c43A37D37dfF08AE8C4A11544c718AbB4fCF8"


def test_a_journal_is_gone_on_with(tmp_path: Path, wallet: Wallet) -> None:
    path = tmp_path / "j"
    first, dearer = signed(wallet, 0), signed(wallet, 0, price=3)
    with Journal(path, HEAD, write=True) as journal:
        journal.keep("deploy A", first, 10)
        journal.keep("deploy A", dearer, 20)
        journal.end(journal.open()[0], Ended("MINED", first.tx_hash, 7, 42))
        journal.keep("call", signed(wallet, 1, HEAD["deployer"]), 30)
    again = Journal(path, HEAD)
    assert again.entries == journal.entries
    assert again.entries["deploy A"].mined and again.entries["deploy A"].sent == first
    assert [lease.step for lease in again.open()] == ["call"]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[1]["address"] == created(HEAD["deployer"], 0)
    assert "address" not in lines[4]
    with pytest.raises(PewError, match="reading only"):
        again.reopen("deploy A")


@settings(max_examples=20, deadline=None)
@given(cut=st.integers(0, 2000))
def test_a_journal_cut_off_anywhere_is_a_shorter_one(
    tmp_path_factory: pytest.TempPathFactory, wallet: Wallet, cut: int
) -> None:
    path = tmp_path_factory.mktemp("j") / "j"
    with Journal(path, HEAD, write=True) as journal:
        for nonce in range(2):
            journal.keep(f"step {nonce}", signed(wallet, nonce), nonce)
            journal.end(journal.open()[0], Ended("MINED", signed(wallet, nonce).tx_hash, 7, 1))
        journal.reopen("step 1")
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    with Journal(path, HEAD, write=True) as shorter:
        shorter.keep("next", signed(wallet, 9), 1)
    lines = path.read_bytes().splitlines()
    kept = whole[:cut].count(b"\n")
    assert lines[:kept] == whole.splitlines()[:kept]
    assert "next" in Journal(path, HEAD).entries


@pytest.mark.parametrize("text", ["{}\n", "x\n", '{"kind": "keep"}\n', '{"kind": "end", "step": "a"}\n', "[]\n"])
def test_what_is_no_journal(tmp_path: Path, text: str) -> None:
    (tmp_path / "j").write_text(text)
    with pytest.raises(BadInputError, match="line 1"):
        Journal(tmp_path / "j", HEAD)


def test_a_journal_belongs_to_one_process_and_one_build(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", HEAD, write=True), pytest.raises(BadInputError, match="another rollout"):
        Journal(tmp_path / "j", HEAD, write=True)
    with pytest.raises(BadInputError, match="another chain_id"):
        Journal(tmp_path / "j", {**HEAD, "chain_id": 6})


# byte code


@given(st.binary(min_size=8, max_size=60), st.binary(min_size=32, max_size=32), st.integers(0, 59), st.integers(1, 255))
def test_only_immutables_may_differ(code: bytes, value: bytes, at: int, other: int) -> None:
    straight = b"\x5b" + code.translate(bytes(each if each < 0x60 else 0x5B for each in range(256)))
    meta = b"\xa1\x64" + b"\x11" * 10 + (12).to_bytes(2, "big")
    runtime = straight + PUSH32 + bytes(32) + straight + meta
    there = straight + PUSH32 + value + straight + meta
    assert build.compare(there, runtime) is Match.SAME
    assert build.compare(b"", runtime) is Match.ABSENT
    at %= len(straight)
    wrong = there[:at] + bytes([(there[at] + other) % 256]) + there[at + 1 :]
    assert not build.compare(wrong, runtime).good
    assert build.compare_creation(there, b"\x60\x80" + runtime + b"\x99" * 32) is Match.SAME
    assert not build.compare_creation(wrong, b"\x60\x80" + runtime).good
    assert build.compare(there[:-5] + b"\x22" + there[-4:], runtime) is Match.SAME_BUT_METADATA


def test_what_is_not_compiled_says_how(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="not compiled"):
        build.read(tmp_path, "Hub")
    (tmp_path / "Hub.json").write_text("{}")
    with pytest.raises(BadInputError, match="not a compiled"):
        build.read(tmp_path, "Hub")
