"""The worker's own ledger: integers that balance, one chain through every crash."""

from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path

import pytest
from eth_account import Account

from chain.wallet import Wallet, recover_digest
from poco.audit import findings
from poco.energy import UNKNOWN, domain, head_line, parse
from poco.hexes import ZERO_BYTES32
from worker.energy import Book, EnergyConfig, EnergyRecord, LedgerConfig, create_power_source, profile_of
from worker.journal import Journal
from worker.power import Power, Signer

WALLET = Wallet(Account.from_key("0x" + "11" * 32))
WHERE = domain(1337, "0x000000000000000000000000000000000000dEaD")
CONFIG = EnergyConfig(start="2001-06-21T00:00", speed=900.0)
T0 = 992_995_200


def quarter(number, stored=100.0, **values):
    fields = {"harvested_wh": 5.0, "consumed_wh": 1.5, "harvest_unknown_s": 0.0, "load_unknown_s": 0.0, **values}
    return EnergyRecord(start=T0 + 900 * number, end=T0 + 900 * (number + 1), stored_wh=stored, **fields)


@pytest.fixture
def book():
    return Book(profile_of(CONFIG, create_power_source(CONFIG)), WALLET.sign_digest, WHERE, None)


def test_records_are_chained_and_balance_in_integers(book):
    entries = book.extend([quarter(0), quarter(1, 103.3339, harvested_wh=5.0004), quarter(2, 103.0, charged_wh=0.2)])
    first, second, third = (entry.record for entry in entries)
    assert (first.previous, first.stored_before, first.lost) == (ZERO_BYTES32, UNKNOWN, 0)
    assert (second.previous, second.harvested, second.stored_before, second.stored_after) == (
        first.hash, 5_000, 100_000, 103_334,
    )  # fmt: skip
    assert second.lost == 5_000 - 1_500 - 3_334
    assert third.lost == 5_000 + 200 - 1_500 + 334
    assert all(recover_digest(e.record.signed_hash(WHERE), e.signature) == WALLET.address for e in entries)


def test_what_is_unknown_is_not_balanced(book):
    stored, gap, partly = (
        e.record for e in book.extend([quarter(0), quarter(1, None), quarter(2, load_unknown_s=12.4)])
    )
    assert (gap.stored_before, gap.stored_after, gap.lost) == (stored.stored_after, UNKNOWN, 0)
    assert (partly.stored_before, partly.load_unknown, partly.lost) == (UNKNOWN, 12, 0)


def test_nothing_is_told_twice_and_a_gap_keeps_the_chain(book):
    entries = book.extend([quarter(0), quarter(1)])
    assert book.extend([quarter(0), quarter(1)]) == entries  # not on disk yet: the same again
    book.kept(entries)
    assert book.extend([quarter(0), quarter(1)]) == []
    [after] = book.extend([quarter(1), quarter(9)])
    assert (after.record.previous, after.record.stored_before) == (entries[-1].record.hash, UNKNOWN)


def test_the_place_is_told_to_a_tenth_of_a_degree():
    profile = profile_of(CONFIG, create_power_source(CONFIG))
    assert (profile.latitude, profile.longitude, profile.simulated, profile.speed) == (3610, -8000, True, 900_000)
    assert (profile.panel, profile.battery, profile.max_load) == (60_000, 256_000, 7_111)
    lower = CONFIG.model_copy(update={"ledger": LedgerConfig(unknown_load_w=0.5)})
    assert profile_of(lower, create_power_source(lower)).unknown_load == 500


def test_yaml_may_say_off():
    assert LedgerConfig.model_validate({"anchor": False}).anchor == "off"


def worker(path: Path, die_at: int, looks: int) -> None:
    """A worker that reads its meter and saves, and is killed at the `die_at`-th point where that can matter."""
    passed = itertools.count()

    def point() -> None:
        if next(passed) == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(owner, name, before=False):
        real = getattr(owner, name)

        def wrapped(*args, **kwargs):
            if before:
                point()
            result = real(*args, **kwargs)
            point()
            return result

        setattr(owner, name, wrapped)

    around(Book, "extend")
    around(Book, "kept")
    around(Journal, "energy_kept", before=True)
    journal = Journal(path)
    begun = int(journal.note("looks") or 0)
    power = Power(CONFIG, journal, 1e6 + begun, Signer(WALLET.sign_digest, WHERE))
    for n in range(begun, looks):
        power.look(1e6 + n, (), {}, False)
        journal.set_note("looks", str(n))
        point()
        if n % 3 == 2:
            power.save()
    power.save()


def test_a_kill_at_every_point_leaves_one_whole_chain(tmp_path):
    path, looks, deaths = tmp_path / "journal.db", 40, 0
    while True:
        child = os.fork()
        if child == 0:
            try:
                worker(path, 3 + deaths % 9, looks)
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            break
        deaths += 1
        assert deaths < 200
    assert deaths > 20
    journal = Journal(path)
    ledger = parse([head_line(WALLET.address, WHERE.chain_id, WHERE.hub), *journal.ledger_lines()])
    assert list(findings(ledger, recover_digest)) == []
    records = [entry.record for entry in ledger.entries]
    assert all(a.end == b.start and b.previous == a.hash for a, b in itertools.pairwise(records))
    meter = journal.energy_snapshot("meter")
    assert meter is not None
    assert (
        abs(sum(r.harvested for r in records) / 1000 + meter["harvest"]["open_wh"] - meter["harvest"]["total_wh"]) < 1
    )
    assert len(records) >= looks - 3
