"""VM rescheduling: the heuristics on the public snapshots and on generated clusters."""

import pytest

import gapgym
from gapgym.instances.vm_rescheduling import generate


@pytest.mark.data
@pytest.mark.parametrize(("mnl", "greedy", "annealed"), [(25, 22, 22), (50, 27, 33)])
def test_the_medium_snapshot_gives_the_measured_slots(data_folder, mnl, greedy, annealed):
    one = gapgym.load("vm_rescheduling/medium", mnl=mnl)
    assert gapgym.solve(one, "filter_score").metrics["slots"] == 17
    assert gapgym.solve(one, "potential_greedy").metrics["slots"] >= greedy
    assert gapgym.solve(one, "annealing").metrics["slots"] >= annealed


@pytest.mark.parametrize("seed", range(3))
def test_the_ladder_holds(seed):
    one = generate(60, seed=seed)
    names = ("random", "filter_score", "potential_greedy", "annealing")
    rates = [gapgym.solve(one, name).metrics["fragment_rate"] for name in names]
    assert rates[0] >= rates[1]
    assert rates[1:] == sorted(rates[1:], reverse=True)
