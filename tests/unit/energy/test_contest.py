"""The contest's simulator: energy is conserved, the oracle is not beaten by the blind, broken records are refused."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.energy.contest import SYSTEMS, Site, make_offers, simulate
from benchmarks.energy.oracle import Oracle
from benchmarks.energy.ours import Gates
from benchmarks.energy.records import load_sites
from benchmarks.energy.rivals import AcceptAll, Threshold
from poco.errors import BadInputError

DAYS = 6
SYSTEM = SYSTEMS["pi4-30W-128Wh"]


@pytest.fixture(scope="module")
def site() -> Site:
    hours = np.arange(DAYS * 96) / 4.0 % 24.0
    clear = np.maximum(0.0, np.sin((hours - 6.0) / 12.0 * np.pi)) * 0.8
    index = np.repeat([0.9, 0.3, 0.2, 0.8, 0.1, 0.9], 96)
    return Site("made", 45.0, 0.0, 1_700_006_400, clear * index, clear, np.full(DAYS * 96, 12.0))


def test_a_seed_is_always_the_same_stream(site):
    both, one = make_offers(len(site), (1, 2)), make_offers(len(site), (2,))
    assert (both.count[:, 1] == one.count[:, 0]).all()
    heard = np.arange(one.price.shape[1]) < one.count
    assert (both.price[:, : one.price.shape[1], 1][heard] == one.price[:, :, 0][heard]).all()
    assert one.count.sum() == pytest.approx(0.5 * DAYS * 24, rel=0.5)


def test_policies_keep_their_places_and_energy_is_conserved(site):
    offers, stream = make_offers(len(site), (1, 2)), np.arange(2)
    blind = simulate(SYSTEM, site, offers, AcceptAll(2), stream)
    careful = simulate(SYSTEM, site, offers, Threshold("t", np.array([(0.5, 0.2, 0.3, 0.0)] * 2)), stream)
    oracle = simulate(SYSTEM, site, offers, Oracle(2, naps=False), stream)
    assert blind.brown_outs.sum() > 0
    assert careful.brown_outs.sum() == careful.tasks_lost.sum() == 0
    assert (careful.min_soc > 0.1).all()
    assert oracle.score.mean() > max(blind.score.mean(), careful.score.mean())
    for outcome in (blind, careful, oracle):
        sun = site.panel_w.sum() * SYSTEM.panel_wp / 4.0
        assert (outcome.harvested_wh <= sun + 1e-9).all()
        assert (outcome.consumed_wh <= outcome.harvested_wh + 0.6 * 128.0).all()


def test_the_gate_plays_by_the_same_rules_and_answers_in_time(site):
    gates = Gates(1)
    outcome = simulate(SYSTEM, site, make_offers(len(site), (1,)), gates, np.arange(1))
    assert outcome.brown_outs[0] == outcome.tasks_lost[0] == 0
    assert outcome.tasks_done[0] > 0
    assert np.percentile(gates.decision_ms[0], 50) < 20.0


def test_a_folder_without_records_is_refused(tmp_path):
    with pytest.raises(BadInputError):
        load_sites(tmp_path)
    np.savez(tmp_path / "x.npz", x_pv=np.zeros(96))
    with pytest.raises(BadInputError):
        load_sites(tmp_path)
