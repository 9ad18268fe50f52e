import csv
import hashlib
import itertools
import json
import os
import re
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from brute_force import job_shop_optimum
from hypothesis import given
from hypothesis import strategies as st
from strategies import job_shops, stochastic_job_shops

from gapgym.instances import cache, job_shop, load
from gapgym.instances.job_shop import (
    JobShopInstance,
    JobShopSolution,
    best_known,
    generate,
    heads,
    jackson_bound,
    job_bound,
    lower_bound,
    machine_bound,
    metrics,
    objective,
    picture,
    read,
    taillard,
    tails,
    two_set,
    uniform,
    upper_bound,
    validate,
    write,
)
from gapgym.instances.job_shop_generators import GENERATORS, TAILLARD_SEEDS

CLASSIC = job_shop.names()[:242]
CACHED = job_shop.names()[242:]


def exactly(message):
    return f"^{re.escape(message)}$"


# The referee.

SHOP = JobShopInstance.from_lists([[(0, 3), (1, 2)], [(1, 2), (0, 4)]])
RAGGED = JobShopInstance.from_lists([[(0, 3)], [(0, 2), (0, 0), (1, 4)]])


def test_good_schedules_pass_with_their_makespan():
    for instance, start, makespan in (
        (SHOP, [[0, 3], [0, 3]], 7),
        (SHOP, [[4, 9], [0, 100]], 104),
        (RAGGED, [[2, -1, -1], [0, 2, 2]], 6),
        (RAGGED, [[2, -1, -1], [0, 5, 5]], 9),
    ):
        solution = JobShopSolution(start)
        validate(instance, solution)
        assert objective(instance, solution) == makespan


@pytest.mark.parametrize(
    ("instance", "start", "message"),
    [
        (SHOP, [[0, 3]], "start (1, 2), expected (2, 2)."),
        (SHOP, [[0, 3], [0, -1]], "operation (1, 1): start -1, expected >= 0."),
        (SHOP, [[-2, 3], [0, 3]], "operation (0, 0): start -2, expected >= 0."),
        (
            RAGGED,
            [[2, 5, -1], [0, 2, 2]],
            "operation (0, 1): does not exist, expected start -1.",
        ),
        (
            RAGGED,
            [[2, -1, -2], [0, 2, 2]],
            "operation (0, 2): does not exist, expected start -1.",
        ),
        (
            SHOP,
            [[0, 2], [0, 3]],
            "operation (0, 1): starts at 2, expected at or after the end 3 of operation (0, 0).",
        ),
        (
            SHOP,
            [[0, 3], [2, 4]],
            "machine 1: operations (1, 0) [2, 4) and (0, 1) [3, 5) overlap.",
        ),
        (
            RAGGED,  # an operation without duration in the midst of another
            [[2, -1, -1], [0, 3, 3]],
            "machine 0: operations (0, 0) [2, 5) and (1, 1) [3, 3) overlap.",
        ),
    ],
)
def test_broken_schedules_are_refused_with_their_reason(instance, start, message):
    with pytest.raises(ValueError, match=exactly(message)):
        validate(instance, JobShopSolution(start))


def test_objective_refuses_a_schedule_of_another_shop():
    with pytest.raises(ValueError, match=exactly("start (2, 2), expected (2, 3).")):
        objective(RAGGED, JobShopSolution([[0, 3], [0, 3]]))


def is_feasible(instance, start):
    """The definition, pair by pair."""
    operations = [
        (j, k, int(instance.machines[j, k]), start[j][k], start[j][k] + int(p))
        for (j, k), p in np.ndenumerate(instance.durations)
        if instance.machines[j, k] >= 0
    ]
    return all(s >= 0 for _, _, _, s, _ in operations) and all(
        (a[4] <= b[3] if a[1] < b[1] else b[4] <= a[3])
        if a[0] == b[0]
        else (a[2] != b[2] or a[4] <= b[3] or b[4] <= a[3])
        for a, b in itertools.combinations(operations, 2)
    )


@given(data=st.data(), instance=job_shops(max_jobs=2, max_time=3))
def test_referee_agrees_with_the_definition(data, instance):
    exists = instance.machines >= 0
    size = int(exists.sum())
    times = data.draw(st.lists(st.integers(-1, 7), min_size=size, max_size=size))
    start = np.full(exists.shape, -1)
    start[exists] = times
    try:
        validate(instance, JobShopSolution(start))
        accepted = True
    except ValueError:
        accepted = False
    assert accepted == is_feasible(instance, start.tolist())


@given(instance=job_shops())
def test_one_operation_after_the_other_costs_the_upper_bound(instance):
    start = np.where(instance.machines >= 0, 0, -1)
    time = 0
    for j, k in np.argwhere(instance.machines >= 0):
        start[j, k] = time
        time += instance.durations[j, k]
    validate(instance, JobShopSolution(start))
    assert objective(instance, JobShopSolution(start)) == time == upper_bound(instance)


def test_metrics_and_picture_of_a_schedule():
    solution = JobShopSolution([[2, -1, -1], [0, 2, 2]])
    assert metrics(RAGGED, solution) == {"utilisation": 9 / 12, "mean_flow_time": 5.5}
    drawn = picture(RAGGED, solution)
    assert [(box.x, box.y, box.width, box.group) for box in drawn.boxes] == [
        (2, 0, 3, 0),
        (0, 0, 2, 1),
        (2, 0, 0, 1),
        (2, 1, 4, 1),
    ]
    assert drawn.title == "job shop: makespan 6"
    assert drawn.marks == ((6, "lower bound 6"),)


def test_metrics_of_a_shop_without_work():
    idle = JobShopInstance([[0]], [[0]])
    assert metrics(idle, JobShopSolution([[0]])) == {"utilisation": 0.0, "mean_flow_time": 0.0}


def test_picture_of_an_unfinished_schedule_shows_what_is_there():
    drawn = picture(RAGGED, JobShopSolution([[-1, -1, -1], [0, -1, -1]]))
    assert len(drawn.boxes) == 1
    assert drawn.lanes == ("0", "1")


def test_table_of_a_schedule_has_a_row_per_operation():
    frame = JobShopSolution([[2, -1, -1], [0, 2, 2]]).to_frame()
    assert frame.to_dict("list") == {
        "job": [0, 1, 1, 1],
        "operation": [0, 0, 1, 2],
        "start": [2, 0, 2, 2],
    }


# Bounds.


@given(instance=job_shops())
def test_bounds_are_ordered_and_never_above_the_optimum(instance):
    best = job_shop_optimum(instance)
    assert machine_bound(instance) <= jackson_bound(instance) <= lower_bound(instance) <= best
    assert job_bound(instance) <= lower_bound(instance)
    assert best <= upper_bound(instance)


@given(instance=job_shops(max_operations=3, max_jobs=3))
def test_jackson_bound_is_the_best_subset_of_a_machine(instance):
    head, tail, best = heads(instance), tails(instance), 0
    for machine in range(instance.num_machines):
        operations = [tuple(index) for index in np.argwhere(instance.machines == machine)]
        for size in range(1, len(operations) + 1):
            for subset in itertools.combinations(operations, size):
                index = tuple(zip(*subset, strict=True))
                load = instance.durations[index].sum()
                best = max(best, head[index].min() + load + tail[index].min())
    assert jackson_bound(instance) == best


def test_bounds_of_ft06_by_name():
    ft06 = load("job_shop/ft06")
    assert (job_bound(ft06), machine_bound(ft06)) == (47, 52)
    assert upper_bound(ft06) == 197


BOUNDS = (job_bound, machine_bound, jackson_bound, lower_bound)


def every_bound(instance):
    return [bound(instance) for bound in BOUNDS] + [job_shop_optimum(instance)]


@given(instance=job_shops(), random=st.randoms())
def test_names_of_machines_and_jobs_do_not_matter(instance, random):
    names = list(range(instance.num_machines))
    random.shuffle(names)
    jobs = list(range(instance.num_jobs))
    random.shuffle(jobs)
    renamed = np.array([*names, -1])[instance.machines][jobs]
    other = JobShopInstance(renamed, instance.processing_times[jobs], instance.num_machines)
    assert every_bound(other) == every_bound(instance)


@given(instance=job_shops(), factor=st.integers(2, 1000))
def test_everything_scales_with_the_durations(instance, factor):
    scaled = replace(instance, processing_times=factor * instance.processing_times)
    assert every_bound(scaled) == [factor * bound for bound in every_bound(instance)]


@given(instance=job_shops())
def test_time_may_run_backwards(instance):
    jobs = [
        list(zip(machines[:length], times[:length], strict=True))[::-1]
        for machines, times, length in zip(
            instance.machines.tolist(),
            instance.processing_times.tolist(),
            instance.num_operations,
            strict=True,
        )
    ]
    backwards = JobShopInstance.from_lists(jobs, num_machines=instance.num_machines)
    assert every_bound(backwards) == every_bound(instance)


@given(instance=job_shops(max_jobs=3))
def test_shorter_operations_never_hurt(instance):
    shorter = replace(instance, processing_times=np.maximum(instance.processing_times - 1, 0))
    assert all(np.array(every_bound(shorter)) <= every_bound(instance))


# Instances.


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"machines": [[0, 2]], "processing_times": [[1, 1]], "num_machines": 2},
            "job 0: operation 1 on machine 2, expected 0..1.",
        ),
        (
            {"machines": [[0], [-2]], "processing_times": [[1], [1]]},
            "job 1: operation 0 on machine -2, expected 0..0.",
        ),
        (
            {"machines": [[0, 1]], "processing_times": [[1, -1]]},
            "job 0: processing time -1, expected >= 0.",
        ),
        (
            {"machines": [[0, -1, 1]], "processing_times": [[1, 0, 1]]},
            "job 0: operation 2 after the end (-1) of the job.",
        ),
        (
            {"machines": [[0], [-1]], "processing_times": [[1], [0]]},
            "job 1: no operations, expected at least 1.",
        ),
        (
            {"machines": [[0, -1]], "processing_times": [[1, 7]]},
            "job 0: processing time 7 after the end of the job.",
        ),
        (
            {"machines": [[0]], "processing_times": [[2**53]]},
            f"processing times sum to {2**53}, expected below 2^53.",
        ),
        (
            {"machines": [[0, 0, 0]], "processing_times": [[2**62, 2**62, 2**62]]},
            f"processing times sum to {3 * 2**62}, expected below 2^53.",
        ),
        (
            {"machines": [[0, 1]], "processing_times": [[1], [1]]},
            "machines (1, 2) and processing_times (2, 1): expected two (n, K) arrays with"
            " n, K >= 1.",
        ),
        (
            {"machines": [[]], "processing_times": [[]]},
            "machines (1, 0) and processing_times (1, 0): expected two (n, K) arrays with"
            " n, K >= 1.",
        ),
        (
            {"machines": [[0]], "processing_times": [[1]], "cv": 9.0},
            "cv 9.0, expected between 0 and 2.000 for a lognormal law.",
        ),
    ],
)
def test_what_is_no_job_shop_is_refused(fields, message):
    with pytest.raises(ValueError, match=exactly(message)):
        JobShopInstance(**fields)


@pytest.mark.parametrize(
    ("jobs", "message"),
    [
        ([[(0, 1), (1, 2, 3)]], "job 0: operation 1 is (1, 2, 3), expected (machine, time)."),
        ([[(0, 1)], [(-1, 0)]], "job 1: operation 0 on machine -1, expected >= 0."),
        ([[(0, 1)], []], "job 1: no operations, expected at least 1."),
        (
            [[(0, 1.5)]],
            "job 0, operation 0: float64 (2,), expected integers in 1 dimension(s).",
        ),
    ],
)
def test_lists_that_are_no_job_shop_are_refused(jobs, message):
    with pytest.raises(ValueError, match=exactly(message)):
        JobShopInstance.from_lists(jobs)


def test_scalars_may_come_from_numpy():
    plain = JobShopInstance([[0]], [[1]], num_machines=2, cv=0.5, scenario=3)
    other = JobShopInstance(
        [[0]], [[1]], num_machines=np.int64(2), cv=np.float32(0.5), scenario=np.int32(3)
    )
    assert other == plain
    assert JobShopInstance.from_json(json.loads(json.dumps(other.to_json()))) == plain
    assert JobShopInstance([[0]], [[1]], cv=0) == JobShopInstance([[0]], [[1]], cv=0.0)


@given(instance=stochastic_job_shops())
def test_durations_depend_on_the_scenario_alone(instance):
    again = replace(instance, name="again")
    assert (again.durations == instance.durations).all()
    assert ((instance.durations == 0) == (instance.processing_times == 0)).all()
    fewer = replace(
        instance, machines=instance.machines[:1], processing_times=instance.processing_times[:1]
    )
    assert (fewer.durations == instance.durations[:1]).all()


def test_scenarios_differ():
    shops = [uniform(10, 10, seed=1, cv=0.3, scenario=scenario) for scenario in range(3)]
    for one, other in itertools.combinations(shops, 2):
        assert (one.durations != other.durations).mean() > 0.9


@pytest.mark.parametrize("law", ["uniform", "lognormal"])
def test_durations_keep_the_mean_and_have_the_cv(law):
    shop = uniform(200, 200, seed=1, low=500, high=500, cv=0.25, law=law, scenario=3)
    assert shop.durations.mean() == pytest.approx(500, rel=0.01)
    assert shop.durations.std() / 500 == pytest.approx(0.25, rel=0.03)


@given(instance=stochastic_job_shops(max_jobs=3))
def test_bounds_concern_what_happens_in_the_scenario(instance):
    happened = JobShopInstance(instance.machines, instance.durations, instance.num_machines)
    assert every_bound(instance) == every_bound(happened)


# Files.


def read_text(folder, text, file="x.txt", **fields):
    path = Path(folder) / file
    path.write_text(text)
    return read(path, **fields)


@given(instance=job_shops())
def test_text_and_json_give_the_shop_back(instance):
    with tempfile.TemporaryDirectory() as folder:
        for name in ("shop.txt", "shop.json", "noext"):
            write(instance, Path(folder) / name)
            assert read(Path(folder) / name) == instance


@given(instance=stochastic_job_shops(name="s"))
def test_json_gives_a_stochastic_shop_back(instance):
    with tempfile.TemporaryDirectory() as folder:
        write(instance, Path(folder) / "s.json")
        copy = read(Path(folder) / "s.json")
    assert copy == instance
    assert copy.name == "s"
    assert (copy.durations == instance.durations).all()


def test_standard_text(tmp_path):
    shop = read_text(tmp_path, "# by hand\n2 2\n0 3 1 2\n\n1 2 0 4\n", "two.txt")
    assert shop == SHOP
    assert (shop.name, shop.num_machines) == ("two", 2)


def test_ragged_text(tmp_path):
    shop = read_text(tmp_path, "2 2\n0 3 -1 -1\n0 2 0 0 1 4 -1 -1\n")
    assert shop == RAGGED


@pytest.mark.parametrize("first", ["2 2", "Nb of jobs, Nb of Machines, seeds\n 2 2 17 -1 5 6"])
def test_taillard_text(tmp_path, first):
    text = f"{first}\nTimes\n 3 2\n 2 4\nMachines\n 1 2\n 2 1\n"
    assert read_text(tmp_path, text) == SHOP


def test_reader_sets_the_fields_of_a_stochastic_shop(tmp_path):
    shop = read_text(tmp_path, "1 1\n0 9\n", cv=0.2, law="uniform", scenario=4, name="n")
    assert (shop.cv, shop.law, shop.scenario, shop.name) == (0.2, "uniform", 4, "n")
    message = "unknown option 'noise' for job_shop, expected some of: name, cv, law, scenario."
    with pytest.raises(ValueError, match=exactly(message)):
        read(tmp_path / "x.txt", noise=1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.txt: empty file."),
        ("# nothing\n\n# at all\n", "x.txt: only comments, expected a line 'n m'."),
        ("2\n0 1\n", "x.txt, line 1: 1 numbers, expected 2 (jobs and machines)."),
        ("1 1 7\n0 1\n", "x.txt, line 1: 3 numbers, expected 2 (jobs and machines)."),
        ("0 2\n", "x.txt, line 1: 0 jobs and 2 machines, expected >= 1."),
        ("1 -2\n0 1\n", "x.txt, line 1: 1 jobs and -2 machines, expected >= 1."),
        ("3 1\n0 1\n0 2\n", "x.txt: 2 lines of operations, expected 3 (one per job)."),
        ("1 1\n0 1\n0 2\n", "x.txt: 2 lines of operations, expected 1 (one per job)."),
        ("#\n1 2\n0 1 1\n", "x.txt, line 3: 3 numbers, expected 4 (2 machine-time pairs)."),
        ("1 2\n0 1 1 2 5\n", "x.txt, line 2: 5 numbers, expected 4 (2 machine-time pairs)."),
        ("2 2\n0 1 1 2\n1 3 0 -4\n", "x.txt, line 3: processing time -4, expected 0..2^53 - 1."),
        ("2 2\n0 1 1 2\n1 3 2 4\n", "x.txt, line 3: machine 2, expected 0..1."),
        ("2 2\n0 1 1 2\n1 3 -1 4\n", "x.txt, line 3: machine -1, expected 0..1."),
        ("1 1\n0 1.5\n", "x.txt, line 2: '1.5', expected an integer."),
        ("1 1\n0 one\n", "x.txt, line 2: 'one', expected an integer."),
        ("1 1\nzero\n", "x.txt, line 2: 'zero', expected an integer."),
        ("1 1\n-1 -1\n", "x.txt, line 2: 0 numbers before -1 -1, expected pairs (machine time)."),
        (
            "1 1\n0 1 0 -1 -1\n",
            "x.txt, line 2: 3 numbers before -1 -1, expected pairs (machine time).",
        ),
        (
            "1 1\nTimes\n1\n",
            "x.txt: 'Times' without 'Machines' after it, expected both matrices.",
        ),
        (
            "1 1\nMachines\n1\nTimes\n1\n",
            "x.txt: 'Times' without 'Machines' after it, expected both matrices.",
        ),
        (
            "Times\n1\nMachines\n1\n",
            "x.txt, line 1: no line of numbers before 'Times', expected 'n m'.",
        ),
        ("1\nTimes\n1\nMachines\n1\n", "x.txt, line 1: 1 numbers, expected 2 (jobs and machines)."),
        ("2 1\nTimes\n1\nMachines\n1\n1\n", "x.txt: 1 lines under 'Times', expected 2."),
        ("2 1\nTimes\n1\n1\nMachines\n1\n", "x.txt: 1 lines under 'Machines', expected 2."),
        ("1 2\nTimes\n1\nMachines\n1 2\n", "x.txt, line 3: 1 numbers, expected 2."),
        ("1 2\nTimes\n1 2\nMachines\n1\n", "x.txt, line 5: 1 numbers, expected 2."),
        ("1 2\nTimes\n1 2\nMachines\n0 1\n", "x.txt, line 5: machine 0, expected 1..2."),
        ("1 2\nTimes\n1 2\nMachines\n1 3\n", "x.txt, line 5: machine 3, expected 1..2."),
        (
            "1 2\nTimes\n1 -2\nMachines\n1 2\n",
            "x.txt, line 3: processing time -2, expected 0..2^53 - 1.",
        ),
    ],
)
def test_bad_text_is_refused_with_file_line_and_reason(tmp_path, text, message):
    with pytest.raises(ValueError, match=exactly(message)):
        read_text(tmp_path, text)


@pytest.mark.parametrize("number", [2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**40])
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("2 2\n0 1 1 2\n1 3 0 {}\n", 3),
        ("2 2\n0 1 -1 -1\n1 3 0 {} -1 -1\n", 3),
        ("2 1\nTimes\n1\n{}\nMachines\n1\n1\n", 4),
    ],
)
def test_numbers_too_large_are_refused_with_file_and_line(tmp_path, number, text, line):
    message = f"x.txt, line {line}: processing time {number}, expected 0..2^53 - 1."
    with pytest.raises(ValueError, match=exactly(message)):
        read_text(tmp_path, text.format(number))


def test_sum_of_times_too_large_names_the_file(tmp_path):
    message = f"x.txt: processing times sum to {2**53}, expected below 2^53."
    with pytest.raises(ValueError, match=exactly(message)):
        read_text(tmp_path, f"1 1\n0 {2**52} 0 {2**52} -1 -1\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"1 1\n0 \x00", "x.txt: not text (byte 6 is 0), expected UTF-8."),
        (b"\x89PNG\r\n", "x.txt: not text (byte 0), expected UTF-8."),
    ],
)
def test_binary_files_are_refused(tmp_path, content, message):
    (tmp_path / "x.txt").write_bytes(content)
    with pytest.raises(ValueError, match=exactly(message)):
        read(tmp_path / "x.txt")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"processing_times": [[1, 2, 3]]}, "machines (1, 2) and processing_times (1, 3)"),
        ({"processing_times": [[1, 2**63]]}, "processing_times: "),
        ({"processing_times": [[1, 2**64]]}, "processing_times: "),
        ({"num_machines": 1}, "job 0: operation 1 on machine 1, expected 0..0."),
        ({"num_machines": 2.5}, "num_machines 2.5, expected an integer."),
        ({"num_machines": "two"}, "num_machines 'two', expected an integer."),
        ({"problem": "tardiness"}, "problem 'tardiness', expected 'job_shop'."),
        ({"cv": "much"}, "cv 'much', expected a number."),
        ({"cv": None}, "cv None, expected a number."),
        ({"scenario": 1.5}, "scenario 1.5, expected an integer."),
        ({"name": 3}, "name 3, expected a text."),
        ({"num_machines": True}, "num_machines True, expected an integer."),
    ],
)
def test_bad_json_is_refused_with_file_and_reason(tmp_path, fields, reason):
    good = {"machines": [[0, 1]], "processing_times": [[1, 2]]}
    with pytest.raises(ValueError, match=f"^x.json: {re.escape(reason)}"):
        read_text(tmp_path, json.dumps({**good, **fields}), "x.json")


def test_missing_files_and_folders_are_told_apart(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.txt")
    with pytest.raises(ValueError, match=exactly(f"{tmp_path}: a folder, expected a file.")):
        read(tmp_path)


def test_text_cannot_hold_noise(tmp_path):
    message = "x.txt: text cannot hold cv 0.2, expected a .json name."
    with pytest.raises(ValueError, match=exactly(message)):
        write(replace(SHOP, cv=0.2), tmp_path / "x.txt")
    assert not list(tmp_path.iterdir())


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    write(SHOP, tmp_path / "x.txt")

    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        write(RAGGED, tmp_path / "x.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["x.txt"]
    assert read(tmp_path / "x.txt") == SHOP


# Generators.


@pytest.mark.parametrize("size", TAILLARD_SEEDS)
def test_taillard_seeds_give_the_stored_shops(size):
    first = 10 * list(TAILLARD_SEEDS).index(size) + 1
    for i, (seed, machine_seed) in enumerate(TAILLARD_SEEDS[size]):
        shop = taillard(*size, seed=seed, machine_seed=machine_seed)
        assert shop == load(f"job_shop/ta{first + i:02d}")


@given(n=st.integers(1, 8), m=st.integers(1, 8), seed=st.integers(1, 99))
def test_generated_shops_visit_every_machine_once(n, m, seed):
    for kind in GENERATORS:
        shop = generate(n, m, seed=seed, kind=kind)
        assert shop.machines.shape == (n, m)
        assert shop.num_machines == m
        assert (np.sort(shop.machines) == np.arange(m)).all()
        assert shop.processing_times.min() >= 1
        assert shop == generate(n, m, seed=seed, kind=kind)
        assert load(f"job_shop/{shop.name}") == shop


def test_seeds_and_generators_are_interchangeable():
    assert uniform(5, 4, seed=3) == uniform(5, 4, seed=np.random.default_rng(3))
    assert uniform(5, 4, seed=3) != uniform(5, 4, seed=4)


def test_processing_times_cover_their_range():
    assert np.unique(uniform(50, 50, seed=1, low=0, high=9).processing_times).tolist() == [
        *range(10)
    ]
    assert np.unique(two_set(50, 50, seed=1, low=5, high=7).processing_times).tolist() == [5, 6, 7]


@given(n=st.integers(1, 6), m=st.integers(1, 9), seed=st.integers(0, 99))
def test_two_set_visits_the_first_half_first(n, m, seed):
    machines = two_set(n, m, seed=seed).machines
    half = m // 2
    assert (machines[:, :half] < half).all()
    assert (machines[:, half:] >= half).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: uniform(0, 3, seed=1), "0 jobs and 3 machines, expected >= 1."),
        (lambda: two_set(3, 0, seed=1), "3 jobs and 0 machines, expected >= 1."),
        (
            lambda: uniform(3, 3, seed=1, low=5, high=4),
            "processing times 5..4, expected 0 <= low <= high.",
        ),
        (
            lambda: uniform(3, 3, seed=1, low=-1),
            "processing times -1..99, expected 0 <= low <= high.",
        ),
        (lambda: taillard(3, 3, seed=-1), "seed -1, expected 1..2147483646."),
        (
            lambda: taillard(3, 3, seed=1, machine_seed=2**31 - 1),
            "seed 2147483647, expected 1..2147483646.",
        ),
        (
            lambda: generate(3, 3, seed=1, kind="flow"),
            "unknown kind 'flow', expected one of: uniform, two_set, taillard, flexible,"
            " due_dates, blocking, no_wait.",
        ),
    ],
)
def test_generators_refuse_what_they_cannot_make(call, message):
    with pytest.raises(ValueError, match=exactly(message)):
        call()


# The public benchmarks.

FAMILY_SIZES = {"ft": 3, "la": 40, "abz": 5, "orb": 10, "swv": 20, "yn": 4, "ta": 80, "dmu": 80}


def test_the_classic_shops_are_there():
    counts = {}
    for name in CLASSIC:
        key = re.match("[a-z]+", name)[0]
        counts[key] = counts.get(key, 0) + 1
        assert load(f"job_shop/{name}").name == name
    assert counts == FAMILY_SIZES


def test_ft06_is_the_published_shop():
    ft06 = load("job_shop/ft06")
    assert ft06.machines[0].tolist() == [2, 0, 1, 3, 5, 4]
    assert ft06.processing_times[0].tolist() == [1, 3, 6, 7, 3, 6]
    assert ft06.machines[5].tolist() == [1, 3, 5, 0, 4, 2]
    assert ft06.processing_times[5].tolist() == [3, 3, 9, 10, 4, 1]


def test_a_schedule_of_ft06_has_its_published_makespan():
    start = [  # found with CP-SAT
        [0, 1, 16, 22, 38, 49],
        [0, 8, 13, 28, 38, 48],
        [1, 6, 10, 18, 27, 30],
        [8, 13, 22, 29, 37, 45],
        [13, 22, 25, 41, 48, 52],
        [13, 16, 19, 28, 45, 49],
    ]
    ft06 = load("job_shop/ft06")
    validate(ft06, JobShopSolution(start))
    assert objective(ft06, JobShopSolution(start)) == 55


def test_two_set_shops_are_those_of_the_literature():
    two_stages = {
        name
        for name in CLASSIC
        if (machines := load(f"job_shop/{name}").machines)[:, : machines.shape[1] // 2].max()
        < machines.shape[1] // 2
    }
    assert two_stages == {
        *(f"dmu{number}" for number in range(41, 81)),
        *(f"swv{number:02d}" for number in range(1, 16)),
        "orb03",
        "orb08",
    }


def test_best_known_bounds_are_consistent():
    for name in CLASSIC:
        shop = load(f"job_shop/{name}")
        known = best_known(shop)
        assert lower_bound(shop) <= known.lower <= known.upper <= upper_bound(shop), name
        assert known.lower_source, name
        assert known.upper_source, name


@pytest.mark.parametrize(
    ("name", "lower", "upper"),
    [
        ("ft06", 55, 55),
        ("ft10", 930, 930),
        ("ft20", 1165, 1165),
        ("abz5", 1234, 1234),
        ("abz8", 667, 667),  # and not the 665 that circulates
        ("la01", 666, 666),
        ("ta01", 1231, 1231),
        ("orb07", 397, 397),
    ],
)
def test_best_known_bounds_by_name(name, lower, upper):
    known = best_known(load(f"job_shop/{name}"))
    assert (known.lower, known.upper) == (lower, upper)


def test_best_known_goes_by_content_not_by_name():
    ft06 = load("job_shop/ft06")
    copy = JobShopInstance(ft06.machines, ft06.processing_times, name="ft06")
    assert best_known(copy) == best_known(ft06)
    assert best_known(replace(ft06, processing_times=ft06.processing_times + 1)) is None
    assert best_known(replace(ft06, cv=0.1)) is None
    assert best_known(replace(load("job_shop/ft10"), name="ft06")) is None
    assert best_known(replace(ft06, name="tai_10_10_1")) is None
    assert best_known(SHOP) is None


def test_unknown_benchmark_is_refused():
    with pytest.raises(ValueError, match=exactly("unknown job_shop benchmark 'ft07'.")):
        job_shop.load("ft07")


def test_orb07_has_the_one_operation_that_takes_no_time():
    assert np.count_nonzero(load("job_shop/orb07").processing_times == 0) == 1


@pytest.mark.data
def test_classic_shops_equal_the_public_files(data_folder):
    files = {path.stem: path for path in (data_folder / "job_shop/instances").rglob("*.txt")}
    for name in CLASSIC:
        shop = load(f"job_shop/{name}")
        assert read(files[name]) == shop, name


@pytest.mark.data
def test_larger_shops_equal_the_public_files(data_folder):
    for entry in cache.entries("job_shop"):
        path = data_folder / entry.file
        name = path.stem
        assert hashlib.sha256(path.read_bytes()).hexdigest() == entry.sha256, name
        shop = load(f"job_shop/{name}")
        sizes = [int(size) for size in name.split("_")[1:3]]
        assert [shop.num_jobs, shop.num_machines] == sizes, name


@pytest.mark.data
def test_written_files_equal_the_public_ones_byte_for_byte(data_folder, tmp_path):
    for path in sorted((data_folder / "job_shop/instances").rglob("*.txt")):
        shop = load(f"job_shop/{path.stem}")
        write(shop, tmp_path / path.name)
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.data
def test_best_known_bounds_equal_the_public_table(data_folder):
    with (data_folder / "job_shop/bounds.csv").open(newline="") as file:
        table = {row["name"]: row for row in csv.DictReader(file)}
    for name in (*CLASSIC, *CACHED):
        shop, row = load(f"job_shop/{name}"), table[name]
        known = best_known(shop)
        assert known.lower == int(row["lower_bound"]), name
        assert known.upper == int(row["upper_bound"]), name
        assert job_bound(shop) == int(row["lb_job_length"]), name
        assert machine_bound(shop) == int(row["lb_machine_load_head_tail"]), name
        assert lower_bound(shop) <= known.lower, name
