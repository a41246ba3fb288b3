"""The audit: honest ledgers pass wherever they come from, each forgery is found at its first bad entry."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from chain.wallet import Wallet, recover_digest, recover_typed
from poco.audit import balance, findings
from poco.energy import DAY_S, RECORDS_A_DAY, Record, claim_of, dump, merkle_root, parse
from poco.errors import BadInputError
from poco.hexes import ZERO_BYTES32, keccak, to_bytes, to_hex
from poco.limits import Plane, plane_limit
from poco.sun import extraterrestrial
from scripts.energy_forgeries import FORGERIES, anchors_of, first, honest
from scripts.energy_life import live
from worker.energy import EnergyConfig


@pytest.fixture(scope="module")
def forger():
    return honest(days=3)


class Unsigned:
    """A wallet whose signatures nobody looks at: pure Python takes 3 ms for one."""

    address = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"

    def sign_digest(self, _digest):
        return "0x" + "00" * 65


def found(ledger, anchors=None):
    return list(findings(ledger, lambda _digest, _signature: ledger.worker, anchors))


def test_an_honest_ledger_passes(forger):
    assert list(findings(forger.ledger, recover_digest, anchors_of(forger.ledger))) == []


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_found_at_its_first_bad_entry(forger, name):
    _, check, forge = FORGERIES[name]
    ledger, number = forge(forger)
    finding = first(ledger, anchors_of(forger.ledger))
    assert finding is not None
    assert (finding.check, finding.number) == (check, number)


@pytest.mark.parametrize(
    ("record", "start", "panel", "battery", "days"),
    [
        ("pvlib:723170TYA.CSV", "2001-01-01T00:00", 60, 256, 21),
        ("pvlib:703165TY.csv", "1997-05-20T00:00", 30, 128, 8),
    ],
)
def test_weeks_of_honest_life_pass(record, start, panel, battery, days):
    config = EnergyConfig(record=record, start=start, panel_wp=panel, battery_wh=battery)
    ledger = live(config, days, Unsigned(), step=900)
    assert len(ledger.entries) >= (days - 1) * RECORDS_A_DAY
    assert found(ledger, anchors_of(ledger)) == []


def test_a_day_that_is_anchored_and_not_shown_is_missed(forger):
    ledger, anchors = forger.ledger, anchors_of(forger.ledger)
    day = min(anchors)
    late = {**anchors, max(anchors) + 9: replace(anchors[day], day=max(anchors) + 9)}
    early = {**anchors, day - 3: replace(anchors[day], day=day - 3)}
    for wrong, missing in ((late, max(late)), (early, min(early))):
        assert [(f.check, f.start) for f in found(ledger, wrong)] == [("anchor", missing * DAY_S)]


def test_too_much_sun_for_a_day_is_found_though_each_record_is_possible(forger):
    profile = replace(next(iter(forger.ledger.profiles.values())), battery=10**9, max_load=10**6)
    profile = replace(profile, latitude=5530, longitude=-16050)  # Sand Point: low sun, the panel's rating is far
    plane = Plane(profile.latitude / 100, profile.longitude / 100, profile.tilt, profile.azimuth)
    day, entries, previous = 11_677, [], ZERO_BYTES32  # 2001-12-21
    for entry in forger.ledger.entries[:RECORDS_A_DAY]:
        start = day * DAY_S + len(entries) * 900
        most = profile.panel * min(1.3, plane_limit(start + 450, plane) / 1000 * 1.24) // 4
        lit = extraterrestrial(start) > 0 and plane_limit(start + 450, plane) > 200
        record = replace(
            entry.record, previous=previous, profile=profile.hash, start=start, harvested=int(most) if lit else 0,
            consumed=int(most) if lit else 0, lost=0, stored_before=10**8, stored_after=10**8,
        )  # fmt: skip
        entries.append(replace(entry, record=record))
        previous = record.hash
    ledger = replace(forger.ledger, profiles={profile.hash: profile}, entries=entries)
    assert {f.check for f in found(ledger)} == {"rare"}


def test_net_positive_needs_the_whole_window_and_counts_what_is_unknown(forger):
    summed = balance(forger.ledger, 2)
    assert summed is not None
    assert summed.complete
    assert summed.counted == summed.consumed
    assert summed.net_positive == (summed.harvested >= summed.consumed)
    assert summed.harvested + summed.charged - summed.consumed - summed.lost == summed.stored
    whole = balance(forger.ledger, 30)
    assert whole is not None
    assert not whole.complete
    assert not whole.net_positive
    assert whole.counted > whole.consumed  # the first day began at 5:00 UTC


def test_the_record_is_the_eip_712_struct_that_wallets_sign(forger):
    entry, where = forger.ledger.entries[7], forger.ledger.domain
    types = Record.TYPES
    data = {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "EnergyRecord": [{"name": name, "type": kind} for name, kind in types.items()],
        },
        "primaryType": "EnergyRecord",
        "domain": where.as_dict(),
        "message": {
            name: to_bytes(getattr(entry.record, name)) if kind == "bytes32" else getattr(entry.record, name)
            for name, kind in types.items()
        },
    }
    assert recover_typed(data, entry.signature) == forger.ledger.worker


def test_a_file_holds_it_all(forger):
    forger.ledger.notes[:] = [{"at": 1, "kind": "decision"}]
    assert parse(dump(forger.ledger)) == forger.ledger


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "nonsense", '{"format":"pew-energy-ledger/2"}', '{"format":"pew-energy-ledger/1"}', "[" * 5000],
)
def test_what_is_no_ledger_is_refused_in_words(text):
    with pytest.raises(BadInputError):
        parse([text])


@pytest.mark.parametrize(
    ("field", "value"),
    [("start", -1), ("harvested", 2**64), ("lost", "1"), ("previous", "0x12"), ("load_unknown", True)],
)
def test_fields_that_do_not_fit_are_refused(forger, field, value):
    entry = forger.ledger.entries[0]
    wrong = replace(forger.ledger, entries=[replace(entry, record=replace(entry.record, **{field: value}))])
    with pytest.raises(BadInputError, match="line 3"):
        parse(dump(wrong))


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40), st.data())
def test_a_root_depends_on_every_hash_and_their_order(hashes, data):
    texts = [to_hex(each) for each in hashes]
    root = merkle_root(texts)
    at = data.draw(st.integers(0, len(texts) - 1))
    assert merkle_root([*texts[:at], to_hex(keccak(hashes[at])), *texts[at + 1 :]]) != root
    assert merkle_root([*texts, texts[-1]]) != root
    assert merkle_root(texts[:-1]) != root


def test_an_empty_day_is_all_unknown():
    claim = claim_of(9, [], {})
    assert (claim.records, claim.unknown, claim.root) == (0, DAY_S, ZERO_BYTES32)


def test_a_wrong_signature_is_said_to_be_one():
    with pytest.raises(BadInputError, match="not a signature"):
        recover_digest(bytes(32), "0x" + "ff" * 65)
    wallet = Wallet(Account.from_key("0x" + "33" * 32))
    assert recover_digest(b"\x07" * 32, wallet.sign_digest(b"\x07" * 32)) == wallet.address
