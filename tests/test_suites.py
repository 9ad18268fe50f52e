import itertools
import json

import numpy as np
import pandas as pd
import pytest

from gapgym.experiments import cli, suites


def table(gaps):
    """A table of runs: (instances, solvers) objectives above 100."""
    rows = [
        {"instance": f"i{i}", "solver": f"s{k}", "seed": 0, "objective": 100 + int(gap)}
        for i, row in enumerate(gaps)
        for k, gap in enumerate(row)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def frame():
    """Easy and hard instances, on which solvers differ."""
    rng = np.random.default_rng(0)
    hardness = rng.integers(0, 40, (40, 1))
    return table(hardness + rng.integers(0, 10, (40, 4)) + np.array([0, 3, 6, 20]))


def test_suites_have_their_sizes_and_dev_and_test_nothing_in_common(frame):
    smoke, dev, test = suites.choose(frame, 3, 8, 10)
    assert [len(suite.instances) for suite in (smoke, dev, test)] == [3, 8, 10]
    assert set(smoke.instances) <= set(dev.instances)
    assert not set(dev.instances) & set(test.instances)
    assert len(set(test.instances)) == 10


def test_solvers_compare_on_suites_as_on_the_full_set(frame):
    _, dev, test = suites.choose(frame, 3, 8, 10)
    assert dev.agreement == test.agreement == 1.0


def test_a_suite_is_closer_to_all_instances_than_nearly_every_random_one(frame):
    rng = np.random.default_rng(1)
    points = rng.random((40, 3))
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)

    def energy(chosen):
        return 2 * distance[chosen].mean() - distance[np.ix_(chosen, chosen)].mean()

    ours = energy(suites.represent(points, np.arange(40), 6))
    others = [energy(rng.choice(40, 6, replace=False)) for _ in range(2000)]
    assert ours <= min(others)


def test_on_a_few_points_the_choice_is_the_best_of_all():
    for seed in range(20):
        points = np.random.default_rng(seed).random((7, 2))
        distance = np.linalg.norm(points[:, None] - points[None], axis=2)
        found = suites.represent(points, np.arange(7), 1)
        best = min(itertools.combinations(range(7), 1), key=lambda c: distance[list(c)].mean())
        assert tuple(found) == best


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((9, 8, 10), "expected smoke <= dev"),
        ((3, 25, 20), "out of 40"),
        ((1, 1, 0), "expected smoke <= dev"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(frame, sizes, message):
    with pytest.raises(ValueError, match=message):
        suites.choose(frame, *sizes)


def test_two_solvers_are_too_few():
    with pytest.raises(ValueError, match="2 solvers, expected at least 3"):
        suites.choose(table(np.ones((9, 2))), 1, 2, 2)


def test_suites_of_a_study_are_written_as_sets(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.toml").write_text(
        '[[grid]]\nfamily = "job_shop"\ninstances = ["la0*"]\nsolvers = ["spt", "mwkr", "mopnr"]\n'
    )
    assert cli.run(["study", "run", "study.toml"]) == 0
    capsys.readouterr()
    command = ["study", "suites", "study.toml", "--sizes", "1,3,4", "--to", "suites.json"]
    assert cli.run(command) == 0
    out = capsys.readouterr().out
    assert "dev: 3 instances" in out
    found = json.loads((tmp_path / "suites.json").read_text())
    assert {name: len(names) for name, names in found["job_shop"].items()} == {
        "smoke": 1,
        "dev": 3,
        "test": 4,
    }
    assert cli.run(["study", "suites", "study.toml", "--sizes", "1,9"]) == 2
