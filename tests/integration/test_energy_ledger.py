"""A worker's energy ledger in public: published, anchored on a real chain, audited, and asked for by a green order."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from chain.client import Chain
from chain.energy import EnergyLedger
from chain.transactions import Sender
from poco.energy import Ledger, claim_of, dump, entry_line
from poco.tags import GREEN
from scripts.energy_life import live
from sdk import cli
from tests.integration.scheduler_pool import Market, Pool, ScriptedWorker
from worker.anchor import Anchor, ledger_domain
from worker.chain import PoolChain
from worker.config import WorkerConfig
from worker.energy import EnergyConfig, LedgerConfig
from worker.journal import Journal
from worker.link import Link
from worker.log import Log

ENERGY = EnergyConfig(start="2001-06-20T19:00")
DAYS = 2.3


class Device:
    """A worker without its loop: wallet, journal with two days of simulated life, chain and scheduler."""

    def __init__(self, pool: Pool, name: str, energy: EnergyConfig = ENERGY) -> None:
        self.scripted = ScriptedWorker(pool, pool.market.wallet(name, escrow=10**10), name).join()
        self.wallet = self.scripted.wallet
        folder = pool.folder / name
        there = Path("x")
        config = WorkerConfig(
            scheduler_url=pool.url, rpc_url=pool.chain.rpc_url, deployment=there, keystore=there, password_file=there,
            data_dir=folder, name=name, workerpool=pool.address, energy=energy,
        )  # fmt: skip
        self.journal = Journal(folder / "journal.db")
        contract = pool.chain.deployment.energy_ledger or ""
        self.ledger = live(energy, DAYS, self.wallet, step=900, contract=contract)
        for profile in self.ledger.profiles.values():
            self.journal.profile_kept(profile)
        self.journal.energy_kept({}, self.ledger.entries, self.ledger.notes)
        self.chain = PoolChain(config, pool.chain, self.wallet, self.journal)
        d = pool.chain.deployment
        link = Link(pool.url, self.wallet, d.chain_id, d.hub, pool.address)
        self.said = io.StringIO()
        self.anchor = Anchor(LedgerConfig(), self.journal, self.chain, link, Log(stream=self.said))

    @property
    def complete(self) -> dict[int, list]:
        days = self.ledger.days()
        return {day: days[day] for day in sorted(days)[:-1]}


@pytest.fixture(scope="module")
def pool(hub: Chain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    made = Pool(Market(hub, tmp_path_factory.mktemp("market")), tmp_path_factory.mktemp("pool"))
    made.start()
    yield made
    assert made.stop() == 0


@pytest.fixture(scope="module")
def device(pool: Pool) -> Device:
    made = Device(pool, "sunny")
    made.anchor.step(may_spend=True)
    return made


def pew(pool: Pool, *words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    before = ["--rpc", pool.chain.rpc_url, "--deployment", str(pool.folder / "deployment.json")]
    code = cli.main([*before, "--scheduler", pool.url, *words])
    return code, "".join(capsys.readouterr())


def test_each_complete_day_is_anchored_once(pool: Pool, device: Device) -> None:
    anchored = EnergyLedger(pool.chain).claims(device.wallet.address)
    profiles = device.ledger.profiles
    assert anchored == {day: claim_of(day, records, profiles) for day, records in device.complete.items()}
    nonce = pool.chain.web3.eth.get_transaction_count(device.wallet.address)
    device.anchor.step(may_spend=True)
    assert pool.chain.web3.eth.get_transaction_count(device.wallet.address) == nonce
    assert [t.state for t in device.journal.sent("", "anchor")] == ["MINED"]


def test_anyone_may_audit_what_was_published(pool: Pool, device: Device, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = pew(pool, "energy", "verify", device.wallet.address, "--days", "2", capsys=capsys)
    assert code == 0, said
    assert "nothing found" in said
    assert f"{len(device.complete)} days on the chain" in said
    assert "2 of 2 days" in said
    assert "simulated" in said


def test_another_ledger_than_the_anchored_is_found(
    pool: Pool, device: Device, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = device.ledger.entries[-1].record.day
    shown = [e for e in device.ledger.entries if e.record.day < last]
    previous, entries = shown[-2].record.hash, shown[:-1]
    record = replace(shown[-1].record, consumed=shown[-1].record.consumed - 50, previous=previous).balanced()
    entries.append(replace(shown[-1], record=record, signature=device.wallet.sign_digest(
        record.signed_hash(ledger_domain(pool.chain.deployment)))))  # fmt: skip
    file = tmp_path / "forged.jsonl"
    file.write_text("\n".join(dump(replace(device.ledger, entries=entries))))
    code, said = pew(pool, "energy", "verify", str(file), capsys=capsys)
    assert code == 1
    assert "BAD" in said
    assert "root, consumed differ" in said


def test_a_published_day_stays_as_it_is(pool: Pool, device: Device) -> None:
    day = min(device.complete)
    path = f"/workers/me/ledger/{day}"
    lines = requests.get(f"{pool.url}/ledgers/{device.wallet.address}?first={day}&last={day}", timeout=10).text
    same = device.scripted.call("PUT", path, json={"lines": lines.splitlines()})
    assert same.status_code == 204
    changed = [*lines.splitlines(), '{"note":{"at":1}}']
    other = device.scripted.call("PUT", path, json={"lines": changed})
    assert (other.status_code, other.json()["error"]) == (409, "OTHER_LEDGER")


def test_a_ledger_of_others_is_not_taken(pool: Pool, device: Device) -> None:
    stranger = pool.worker("stranger").join()
    day, records = next(iter(device.complete.items()))
    first = next(e for e in device.ledger.entries if e.record.day == day)
    lines = list(dump(Ledger(device.wallet.address, 1337, device.ledger.contract)))
    lines += [entry_line(first)]
    for path, body in ((f"/workers/me/ledger/{day}", lines), (f"/workers/me/ledger/{day}", ["nonsense"])):
        assert stranger.call("PUT", path, json={"lines": body}).status_code == 400
    assert stranger.call("PUT", "/workers/me/ledger/-1", json={"lines": lines}).status_code == 400
    nobody = requests.get(f"{pool.url}/ledgers/{stranger.wallet.address}", timeout=10)
    assert nobody.status_code == 404
    assert records


def test_a_green_task_goes_to_the_worker_whose_ledger_is_net_positive(pool: Pool, device: Device) -> None:
    gloomy = pool.worker("gloomy").join()
    [task_id] = pool.deal(tag=GREEN)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        assert gloomy.poll(wait=1) == []
        assert device.scripted.poll(wait=1) == []  # 30 days are asked for where nothing is declared
    reasons = {w["name"]: w["no_work_because"] for w in pool.status()["workers"]}
    assert "net positive" in reasons["gloomy"]
    assert "net positive" in reasons["sunny"]
    Sender(pool.chain, pool.owner).transact(EnergyLedger(pool.chain).declare_window(pool.address, 1))
    device.scripted.expect("START", task_id)
    assert gloomy.poll(wait=1) == []


def test_gas_is_kept_for_tasks(pool: Pool) -> None:
    poor = Device(pool, "poor", ENERGY.model_copy(update={"soc": 0.5}))
    eth = pool.chain.web3.eth
    price = poor.chain.sender.gas_price()
    left = 500_000 * price
    have = eth.get_balance(poor.wallet.address)
    rest = {
        "to": pool.owner.address,
        "value": have - left - 21_000 * price,
        "gas": 21_000,
        "gasPrice": price,
        "nonce": eth.get_transaction_count(poor.wallet.address),
        "chainId": 1337,
    }
    eth.send_raw_transaction(poor.wallet.sign_transaction(rest)[1])
    poor.anchor.step(may_spend=True)
    assert EnergyLedger(pool.chain).claims(poor.wallet.address) == {}
    assert "anchor_waits" in poor.said.getvalue()
    assert requests.get(f"{pool.url}/ledgers/{poor.wallet.address}", timeout=10).status_code == 200


def test_nothing_is_spent_while_tasks_need_it(pool: Pool) -> None:
    busy = Device(pool, "busy")
    busy.anchor.step(may_spend=False)
    assert EnergyLedger(pool.chain).claims(busy.wallet.address) == {}


def test_a_network_without_a_ledger_says_so(pool: Pool) -> None:
    plain = Chain(pool.chain.rpc_url, replace(pool.chain.deployment, energy_ledger=None))
    with pytest.raises(Exception, match="no energy ledger"):
        EnergyLedger(plain)
