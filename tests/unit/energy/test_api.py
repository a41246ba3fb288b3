"""The way the worker uses the package: source, meter and gate through a day."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from poco.errors import BadInputError
from worker.energy import Action, EnergyConfig, Load, Meter, Offer, create_gate, create_power_source

T0 = 1_800_000_000


def test_june_noon_harvests_more_than_a_computing_pi_4_consumes():
    config = EnergyConfig()
    power, meter = create_power_source(config), Meter()
    gate = create_gate(config, power)
    power.set_load(Load.COMPUTING, T0)
    for second in range(0, 61, 5):
        reading = power.read(T0 + second)
        meter.record(reading)
        gate.observe(reading)
        decision = gate.decide(T0 + second, reading, offer=Offer("0x01", seconds=60, reward_nrlc=100))
        assert decision.action is Action.RUN, decision.reason
    assert meter.totals.harvested_wh > meter.totals.consumed_wh > 6.4
    assert reading.battery_soc is not None and reading.battery_soc > 0.6


def test_snapshots_survive_json_and_a_restart_goes_on():
    config = EnergyConfig()

    def started():
        power = create_power_source(config)
        return power, Meter(), create_gate(config, power)

    def live(power, meter, gate, seconds):
        for second in seconds:
            reading = power.read(T0 + second)
            meter.record(reading)
            gate.observe(reading)
        return power.read(T0 + seconds[-1]), meter.totals

    whole = live(*started(), range(0, 300, 3))
    first = started()
    live(*first, range(0, 120, 3))
    kept = [json.loads(json.dumps(part.snapshot())) for part in first]
    second = started()
    for part, snapshot in zip(second, kept, strict=True):
        part.restore(snapshot)
    resumed = live(*second, range(120, 300, 3))
    assert resumed[0].stored_wh == pytest.approx(whole[0].stored_wh, abs=1e-9)
    assert resumed[1].harvested_wh == pytest.approx(whole[1].harvested_wh, abs=1e-9)


def test_the_package_imports_no_heavy_library():
    code = (
        "import sys, worker.energy as e; c = e.EnergyConfig(); e.create_gate(c, e.create_power_source(c));"
        "print([m for m in ('numpy', 'pandas', 'scipy', 'pvlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ({"board": "pi-9"}, "pi-4b"),
        ({"source": "witty"}, "simulated"),
        ({"record": "pvlib:nothing.csv"}, "723170TYA.CSV"),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(change, known):
    with pytest.raises(BadInputError) as caught:
        create_power_source(EnergyConfig(**change))
    assert known in caught.value.hint


def test_a_panel_at_another_place_than_its_record_is_refused():
    with pytest.raises(BadInputError, match=r"energy\.latitude"):
        create_power_source(EnergyConfig(latitude=48.0))
