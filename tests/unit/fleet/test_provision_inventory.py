"""`fleet.yaml`: what it means, what is wrong in it by name, and edits that leave everything else as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from poco.errors import BadInputError
from sdk.fleet import inventory

POOL = "0x4e39aB2E570d38DCe002B1473f7646f776F1027b"
TEXT = f"""\
# our roofs
pool: "{POOL}"
scheduler: https://pool.example/
deployment: deployment.json    # of the chain
rpc_urls: [http://127.0.0.1:8545]
defaults:
  panel_wp: 60
  settings: {{poll_seconds: 20, energy: {{soc: 0.5}}}}
hosts:
  # the first one
  roof-1: {{address: 10.0.0.1}}
  roof-2:
    address: 10.0.0.2
    panel_wp: 100
    settings: {{energy: {{gate: {{}}}}}}
"""
PATH = Path("fleet.yaml")
NAMES = st.from_regex(inventory.HOST_NAME, fullmatch=True).filter(lambda name: not name.endswith("\n"))
PLAIN = st.one_of(st.integers(-5, 5), st.booleans(), st.text("abc: #'\"{}[]\n-,", max_size=8))
TREES = st.recursive(
    st.dictionaries(st.sampled_from("abc"), PLAIN, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), st.one_of(PLAIN, inner), max_size=3),
    max_leaves=8,
)


def test_defaults_are_below_what_a_host_says() -> None:
    fleet = inventory.parse(TEXT, PATH)
    one, two = (inventory.worker_settings(fleet, name) for name in ("roof-1", "roof-2"))
    assert one["energy"] == {"source": "simulated", "panel_wp": 60, "soc": 0.5}
    assert two["energy"] == {"source": "simulated", "panel_wp": 100, "soc": 0.5, "gate": {}}
    assert (one["name"], one["workerpool"], one["stake_nrlc"]) == ("roof-1", POOL, 10 * 10**9)
    assert one["scheduler_url"] == "https://pool.example" and two["poll_seconds"] == 20


def test_a_power_hat_makes_its_energy_real() -> None:
    power = {"meters": [{"driver": "ina226", "measures": "panel"}]}
    host = {"address": "10.0.0.9", "power": power, "site": {"latitude": 48.1, "longitude": 11.5}}
    fleet = inventory.parse(inventory.added(TEXT, PATH, "roof-9", host), PATH)
    energy = inventory.worker_settings(fleet, "roof-9")["energy"]
    assert (energy["source"], energy["hardware"]) == ("hardware", power)
    assert (energy["latitude"], energy["longitude"]) == (48.1, 11.5)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (POOL, "0x12", "pool"),
        ("https://pool.example/", "pool.example", "scheduler"),
        ("address: 10.0.0.2", "address: 10.0.0.1", "the same address"),
        ("address: 10.0.0.2", "address: -oProxyCommand=evil", "address"),
        ("panel_wp: 100", "panel_wp: -1", "panel_wp"),
        ("panel_wp: 100", "colour: red", "colour"),
        ("panel_wp: 100", "user: 'pi; rm'", "user"),
        ("{poll_seconds: 20", "{keystore: x, poll_seconds: 20", "keystore follows from the fleet's file"),
        ("roof-2:", "Roof_2:", "Roof_2"),
        ("  panel_wp: 60", "  address: 10.0.0.7", "an address for all"),
        ("hosts:", "upgrade: {share: 0%}\nhosts:", "a share is"),
        ("hosts:", "stake: much\nhosts:", "stake"),
        ("hosts:", "pull: {url: 'file:///x', at: '$(id)'}\nhosts:", "pull.at"),
        ("hosts:\n", "hosts: [\n", "is not YAML"),
        ("roof-2:\n    address: 10.0.0.2", "roof-2: 7\n  x:\n    address: 10.0.0.2", "roof-2"),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, words: str) -> None:
    assert old in TEXT
    with pytest.raises(BadInputError, match=words.replace("$", ".")) as caught:
        inventory.parse(TEXT.replace(old, new, 1), PATH)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["", "[]", "\x00", "a: *b", "hosts: 3"])
def test_what_is_no_fleet_is_refused(text: str) -> None:
    with pytest.raises(BadInputError):
        inventory.parse(text, PATH)


def test_unknown_devices_are_named() -> None:
    fleet = inventory.parse(TEXT, PATH)
    assert fleet.chosen(()) == ["roof-1", "roof-2"] and fleet.chosen(("roof-2",)) == ["roof-2"]
    with pytest.raises(BadInputError, match="no roof-3"):
        fleet.chosen(("roof-3",))


@settings(max_examples=60, deadline=None)
@given(
    name=NAMES,
    port=st.integers(1, 65535),
    panel=st.floats(1, 1000),
    more=st.dictionaries(st.sampled_from(["cap", "b"]), PLAIN, max_size=2),
)
def test_added_and_removed_again_is_as_before(name: str, port: int, panel: float, more: dict[str, Any]) -> None:
    host = {"address": "192.168.7.7", "port": port, "panel_wp": panel, "settings": more}
    if name in ("roof-1", "roof-2"):
        return
    text = inventory.added(TEXT, PATH, name, host)
    assert text.startswith(TEXT), "comments and all"
    found = inventory.parse(text, PATH).hosts[name]
    assert (found.address, found.port, found.panel_wp) == ("192.168.7.7", port, panel)
    assert found.settings == inventory.joined({"poll_seconds": 20, "energy": {"soc": 0.5}}, more)
    assert inventory.removed(text, PATH, name) == TEXT


def test_a_device_of_several_lines_is_removed_whole() -> None:
    text = inventory.removed(TEXT, PATH, "roof-2")
    assert text == TEXT[: TEXT.index("  roof-2:")]
    last = inventory.removed(text, PATH, "roof-1")
    assert inventory.parse(last, PATH).hosts == {}
    assert "roof-5" in inventory.parse(inventory.added(last, PATH, "roof-5", {"address": "h"}), PATH).hosts


def test_a_host_is_added_before_the_sections_below() -> None:
    below = "\n# how upgrades roll\nupgrade: {share: 3}\n"
    text = inventory.added(TEXT + below, PATH, "roof-3", {"address": "10.0.0.3"})
    assert text == TEXT + "  roof-3: {address: 10.0.0.3}\n" + below


def test_a_file_that_cannot_be_edited_says_what_to_write() -> None:
    text = TEXT[: TEXT.index("hosts:")] + "hosts: {roof-1: {address: 10.0.0.1}}\n"
    with pytest.raises(BadInputError, match=r"cannot be added|a host a line") as caught:
        inventory.added(text, PATH, "roof-3", {"address": "10.0.0.3"})
    assert "roof-3: {address: 10.0.0.3}" in caught.value.hint


@settings(max_examples=100, deadline=None)
@given(below=TREES, above=TREES)
def test_joined_maps_keep_both(below: dict[str, Any], above: dict[str, Any]) -> None:
    before = yaml.safe_dump([below, above])
    made = inventory.joined(below, above)
    assert yaml.safe_dump([below, above]) == before, "neither is changed"
    assert set(made) == {*below, *above}
    for key, value in above.items():
        if not isinstance(value, dict):
            assert made[key] == value
        elif isinstance(below.get(key), dict):
            assert set(made[key]) == {*below[key], *value}
    assert inventory.joined(made, above) == made
    assert inventory.joined(below, {}) == below
