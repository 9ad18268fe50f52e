import json

import numpy as np
import pytest

from gapgym.envs import ENVIRONMENTS
from gapgym.experiments import speed, speed_agents


def test_random_actions_are_allowed_and_reach_every_candidate():
    rng = np.random.default_rng(0)
    mask = np.array([[0, 1, 0, 1], [1, 0, 0, 0]], dtype=np.int8)
    drawn = np.array([speed.masked_random(mask, rng) for _ in range(100)])
    assert set(drawn[:, 0]) == {1, 3}
    assert set(drawn[:, 1]) == {0}


def test_every_environment_is_measured_alone_and_in_batches(monkeypatch, capsys):
    monkeypatch.setattr(speed, "_SECONDS", 0.002)
    monkeypatch.setattr(speed, "_BATCHES", (1, 4))
    monkeypatch.setattr(speed, "_REPETITIONS", 3)
    for environment in ENVIRONMENTS.values():
        for simulator in environment.simulators().values():
            monkeypatch.setattr(simulator, "speed_instances", simulator.speed_instances[:1])
    speed.main("all", json_output=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed["machine"]["cores"] >= 1
    expected = []
    for env_id, environment in ENVIRONMENTS.items():
        for mode, simulator in environment.simulators().items():
            variants = [(1, {}), (4, {}), (4, {"copy": False})]
            if "columns" in simulator.options():
                variants.append((4, {"columns": "minimal", "copy": False}))
            expected += [(env_id, mode, *variant) for variant in variants]
    names = ("environment", "mode", "num_envs", "options")
    assert [tuple(row[name] for name in names) for row in printed["rows"]] == expected
    for row in printed["rows"]:
        assert 0 < row["lowest"] <= row["decisions_per_second"] <= row["highest"]
    speed.main(next(iter(ENVIRONMENTS.values())).module, json_output=False)
    assert "decisions per second" in capsys.readouterr().out


def test_policies_are_measured_with_and_without_a_graph(monkeypatch, capsys):
    monkeypatch.setattr(speed_agents, "_ROWS", 8)
    monkeypatch.setattr(speed_agents, "_REPETITIONS", 1)
    for environment in ENVIRONMENTS.values():
        simulator = next(iter(environment.simulators().values()))
        monkeypatch.setattr(simulator, "speed_instances", simulator.speed_instances[:1])
    speed.main("agents", json_output=True)
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["problem"] for row in rows} == {e.problem for e in ENVIRONMENTS.values()}
    for row in rows:
        assert row["decisions_per_second"] > 0
        assert 0 < row["simulator_share"] + row["network_share"] <= 1.01
    speed_agents.show(rows)
    assert "policy decisions per second" in capsys.readouterr().out


def test_an_unknown_family_is_refused():
    with pytest.raises(ValueError, match="unknown family 'golf', expected one of"):
        speed.main("golf", json_output=True)
