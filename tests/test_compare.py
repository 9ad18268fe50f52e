import base64
import functools
import gzip
import json
import math
import multiprocessing
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import gapgym
from gapgym.agents import solvers
from gapgym.baselines.solver import Status
from gapgym.experiments import study, tables
from gapgym.experiments.fingerprint import fingerprint
from gapgym.experiments.pool import Outcome, in_processes
from gapgym.experiments.store import SCHEMA, Store, run_key
from gapgym.instances import job_shop
from gapgym.instances.job_shop import JobShopInstance, JobShopSolution

#: Solvers of a user, as they would stand in a file.
USER_FILE = """
import os, pathlib, signal, sys, time
import numpy as np
from gapgym.baselines import Draft
from gapgym.instances.job_shop import JobShopSolution

LOG = pathlib.Path(__file__).with_name("log.txt")

def sequential(instance, order=1):
    ends = np.cumsum(instance.durations[::order].ravel()).reshape(instance.durations.shape)
    return JobShopSolution((ends - instance.durations[::order])[::order])

def note(*words):
    with LOG.open("a") as file:
        print(*words, file=file, flush=True)

def counted(instance, seed=0):
    note("end", instance.name, seed, os.getpid())
    return sequential(instance)

def slow(instance, seed=0):
    note("begin", instance.name, seed, os.getpid())
    time.sleep(0.1)
    while LOG.read_text().count("begin") > 6 and not LOG.with_name("go").exists():
        time.sleep(0.02)  # so that the study is not over before the test acts, however busy
    note("end", instance.name, seed, os.getpid())
    return sequential(instance)

def turned(instance, order=-1):
    return sequential(instance, order)

def broken(instance):
    raise RuntimeError("two\\nlines")

def exits(instance):
    sys.exit(3)

def vanishes(instance):
    os._exit(7)

def killed(instance):
    os.kill(os.getpid(), signal.SIGKILL)

def infeasible(instance):
    return JobShopSolution(np.zeros(instance.machines.shape, dtype=np.int64))

def boastful(instance):
    return Draft(sequential(instance), bound=10**6)

def loud(instance):
    print("a solver that talks")
    os.write(1, b"below Python, too")
    return sequential(instance)

def fails_once(instance):
    if not LOG.exists():
        note("first")
        raise RuntimeError("not yet")
    return sequential(instance)

def nothing(instance):
    return None

def sleeps(instance):
    time.sleep(100)

def score(c):
    return -c["processing_time"]

class Forged:
    version = 1
    def __call__(self, instance, **_):
        from dataclasses import replace
        import gapgym
        honest = gapgym.solve(instance, counted)
        return replace(honest, objective=1, bound=0)

forged = Forged()
"""


@pytest.fixture
def user(tmp_path):
    """A function that names a solver of the user's file."""
    folder = tmp_path / "user"
    folder.mkdir()
    (folder / "mine.py").write_text(USER_FILE)
    return lambda name: f"{folder / 'mine.py'}:{name}"


def log_of(user):
    log = Path(user("x").rpartition(":")[0]).with_name("log.txt")
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def makespan_in_sequence(name):
    return int(gapgym.load(f"job_shop/{name}").durations.sum())


# The table.


def test_a_row_per_instance_solver_and_seed(user):
    frame = gapgym.compare("job_shop", "ft06,la0[1-2]", [user("counted"), "spt"], seeds=2)
    wanted = ["instance", "solver", "seed", "objective", "gap", "bound_gap", "status", "seconds"]
    assert list(frame.columns[:8]) == wanted
    cells = list(zip(frame["instance"], frame["solver"], frame["seed"], strict=True))
    solvers = (user("counted"), "spt")
    assert cells == [(i, s, k) for i in ("ft06", "la01", "la02") for s in solvers for k in (0, 1)]
    mine = frame[frame["solver"] == user("counted")]
    for name, objective in zip(mine["instance"], mine["objective"], strict=True):
        assert objective == makespan_in_sequence(name)
    assert (frame["status"] == "feasible").all()
    assert (frame["seconds"] > 0).all()
    assert not frame.attrs["interrupted"]


def test_gap_is_to_the_best_known_and_bound_gap_to_the_best_proven_bound(user):
    frame = gapgym.compare("job_shop", "ta21", [user("counted")])
    reference = job_shop.best_known(gapgym.load("job_shop/ta21"))
    (row,) = frame.to_dict("records")
    objective = makespan_in_sequence("ta21")
    assert row["gap"] == pytest.approx(objective / reference.upper - 1)
    assert row["bound_gap"] == pytest.approx(objective / reference.lower - 1)
    assert (row["best_known"], row["best_bound"]) == (reference.upper, reference.lower)


def test_without_publications_the_best_of_the_study_counts_and_every_proven_bound(user):
    shop = JobShopInstance.from_lists([[(0, 5), (1, 2)], [(1, 3), (0, 4)], [(0, 1), (1, 6)]])
    alone = gapgym.compare("job_shop", [shop], [user("counted")])
    assert alone.loc[0, "gap"] == 0
    assert alone.loc[0, "best_bound"] == job_shop.lower_bound(shop)
    both = gapgym.compare("job_shop", [shop], [user("counted"), "cp_sat"], time_limit=10)
    optimum = both.loc[1, "objective"]
    assert both.loc[1, "status"] == "optimal"
    assert both.loc[0, "best_known"] == both.loc[0, "best_bound"] == optimum
    assert both.loc[0, "bound_gap"] == pytest.approx(21 / optimum - 1)
    assert both.loc[0, "best_known_source"] == "this study"


def test_a_bound_that_a_solution_refutes_is_not_used(user, tmp_path, caplog):
    given = ("job_shop", "ft06", [user("turned")])
    gapgym.compare(*given, out=tmp_path)
    with sqlite3.connect(tmp_path / "results.sqlite") as database:
        database.execute("UPDATE runs SET bound = '1000000'")
    database.close()
    assert gapgym.compare(*given, out=tmp_path).loc[0, "best_bound"] == 55
    assert "above the objective 197" in caplog.text


def test_gaps_are_missing_where_there_is_no_solution(user):
    frame = gapgym.compare("job_shop", "ft06", [user("nothing")])
    assert frame.loc[0, "status"] == "unknown"
    assert frame["objective"].isna().all()
    assert math.isnan(frame.loc[0, "gap"])


def test_instances_may_be_objects_files_names_and_generators(user, tmp_path):
    shop = gapgym.load("job_shop/uniform-3x2-s5")
    job_shop.write(shop, tmp_path / "mine.txt")
    given = [shop, str(tmp_path / "mine.txt"), "ft06", "uniform-3x2-s5", "ft06"]
    frame = gapgym.compare("job_shop", given, [user("counted")])
    assert list(frame["instance"]) == ["uniform-3x2-s5", "mine", "ft06"]
    assert frame.loc[0, "objective"] == frame.loc[1, "objective"]
    assert len(log_of(user)) == 2  # one content, one run


def test_instances_of_one_name_are_told_apart(user):
    shops = [JobShopInstance.from_lists([[(0, time)]], name="shop") for time in (1, 2)]
    frame = gapgym.compare("job_shop", shops, [user("counted")])
    assert len(set(frame["instance"])) == 2
    assert all(re.fullmatch("shop#[0-9a-f]{6}", name) for name in frame["instance"])
    assert list(frame["gap"]) == [0, 0]


def test_a_rule_of_the_user_plays_like_the_rule_of_the_library(user):
    options = {"score": {"schedule": "non-delay"}}
    frame = gapgym.compare("job_shop", "ft06,la01", "spt", rules=user("score"), options=options)
    by_solver = frame.pivot(index="instance", columns="solver", values="objective")
    assert (by_solver["spt"] == by_solver["score"]).all()


def test_options_reach_their_solver(user):
    name, other = user("turned"), user("counted")
    frame = gapgym.compare("job_shop", "ft06", [name, other], options={name: {"order": 1}})
    starts = [frame.loc[i, "mean_flow_time"] for i in (0, 1)]
    assert starts[0] == starts[1]
    turned = gapgym.compare("job_shop", "ft06", [name])
    assert turned.loc[0, "mean_flow_time"] != starts[0]


def test_a_failed_run_names_its_options():
    frame = gapgym.compare("job_shop", "ft06", "spt", options={"spt": {"noise": "abc"}})
    assert frame.loc[0, "message"].startswith("TypeError: ")
    assert frame.loc[0, "message"].endswith(" (options {'noise': 'abc'})")


# Failures.


def test_a_run_that_fails_is_a_row_with_a_message_and_the_others_go_on(user):
    expected = {
        "broken": "RuntimeError: two lines",
        "exits": "SystemExit: 3",
        "vanishes": "ended with exit code 7 and no result",
        "killed": "killed by SIGKILL",
        "infeasible": "ValueError: operation (0, 1): starts at 0",
        "boastful": "RuntimeError: ",
        "counted": "",
    }
    frame = gapgym.compare("job_shop", "ft06", [user(name) for name in expected], workers=3)
    assert len(frame) == len(expected)
    for (name, message), row in zip(expected.items(), frame.to_dict("records"), strict=True):
        assert row["message"].startswith(message)
        assert row["status"] == ("error" if message else "feasible"), name
        assert pd.isna(row["objective"]) == bool(message)


def test_an_objective_that_a_solver_makes_up_is_not_believed(user):
    frame = gapgym.compare("job_shop", "ft06", [user("forged")])
    assert frame.loc[0, "objective"] == makespan_in_sequence("ft06")


def test_what_solvers_print_does_not_reach_standard_output(user, capfd):
    gapgym.compare("job_shop", "ft06", [user("loud")])
    out, err = capfd.readouterr()
    assert out == ""
    assert "a solver that talks" in err
    assert "below Python, too" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"family": "no_shop"}, "unknown family 'no_shop'"),
        ({"instances": "ft99"}, "unknown job_shop instance 'ft99'"),
        ({"instances": "zz*"}, "'zz*': matches no job_shop instance"),
        ({"instances": ""}, "no instances"),
        ({"instances": [3]}, "int, expected an instance"),
        ({"solvers": "spd"}, "unknown solver 'spd' for job_shop"),
        ({"solvers": ""}, "no solvers"),
        ({"solvers": "nowhere.py:f"}, "no file 'nowhere.py'"),
        ({"rules": "spt"}, "rule 'spt', expected file.py:function"),
        ({"seeds": 0}, "seeds 0, expected at least 1"),
        ({"seeds": [3, -1]}, "seed -1, expected >= 0"),
        ({"workers": 0}, "workers 0, expected at least 1"),
        ({"time_limit": 0}, "time limit 0, expected more than 0"),
        ({"time_limit": math.nan}, "time limit nan, expected more than 0"),
        ({"executor": "cloud"}, "unknown executor 'cloud'"),
        ({"options": {"mwkr": {}}}, "options of 'mwkr', expected one of the solvers: spt"),
        ({"options": {"spt": {"seed": 1}}}, "spt: 'seed' is no option"),
        ({"options": {"spt": {"x": object}}}, "expected JSON data"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(arguments, message, tmp_path):
    given = {"family": "job_shop", "instances": "ft06", "solvers": "spt", **arguments}
    with pytest.raises(ValueError, match=re.escape(message)):
        gapgym.compare(**given, out=tmp_path / "out")
    assert not list(tmp_path.iterdir())


# The store.


def test_a_finished_study_is_not_run_again(user, tmp_path):
    given = ("job_shop", "ft06,la01", [user("counted"), "spt"])
    first = gapgym.compare(*given, seeds=2, out=tmp_path)
    again = gapgym.compare(*given, seeds=2, out=tmp_path)
    assert len(log_of(user)) == 4
    pd.testing.assert_frame_equal(first, again)


def test_a_failed_run_is_run_again(user, tmp_path):
    given = ("job_shop", "ft06", [user("fails_once")])
    assert gapgym.compare(*given, out=tmp_path)["status"].tolist() == ["error"]
    frame = gapgym.compare(*given, out=tmp_path)
    assert frame["status"].tolist() == ["feasible"]
    assert frame.loc[0, "objective"] == 197


def test_a_study_may_grow(user, tmp_path):
    gapgym.compare("job_shop", "ft06", [user("counted")], out=tmp_path)
    gapgym.compare("job_shop", "ft06,la01", [user("counted")], seeds=2, out=tmp_path)
    cells = Counter(tuple(words[1:3]) for words in log_of(user))
    assert cells == {(name, seed): 1 for name in ("ft06", "la01") for seed in ("0", "1")}


def test_an_edited_file_another_limit_or_another_option_is_another_run(user, tmp_path):
    name = user("counted")
    gapgym.compare("job_shop", "ft06", [name], out=tmp_path)
    gapgym.compare("job_shop", "ft06", [name], time_limit=5, out=tmp_path)
    file = Path(name.rpartition(":")[0])
    file.write_text(file.read_text() + "\n# edited\n")
    gapgym.compare("job_shop", "ft06", [name], out=tmp_path)
    assert len(log_of(user)) == 3
    with Store(tmp_path / "results.sqlite") as store:
        assert len(store.runs()) == 3


CHAIN = """
def chain(instance, order={order}):
    ends = np.cumsum(instance.durations[::order].ravel()).reshape(instance.durations.shape)
    return JobShopSolution((ends - instance.durations[::order])[::order])
"""


def chain(order):
    """A function of the user, as typed at a prompt: Python does not find its source."""
    names = {"np": np, "JobShopSolution": JobShopSolution}
    exec(CHAIN.format(order=order), names)
    return names["chain"]


def test_a_registered_solver_that_has_changed_is_run_again(tmp_path, monkeypatch):
    monkeypatch.setattr(solvers, "_registered", {})
    times = []
    for order in (1, 1, -1):
        solvers._registered.clear()
        solvers.register_solver("job_shop", "mine", chain(order))
        frame = gapgym.compare("job_shop", "ft06", "mine,spt", out=tmp_path)
        times.append(frame.loc[0, "mean_flow_time"])
    assert times[0] == times[1] != times[2]
    with Store(tmp_path / "results.sqlite") as store:
        contents = [run.content for run in store.runs()]
    assert len(contents) == 3  # spt, and the two versions of the other
    assert sorted(map(len, contents)) == [0, 64, 64]


def test_functions_and_paths_take_part_without_a_file(tmp_path):
    def score(c):
        return -c["processing_time"]

    path = tmp_path / "mine.txt"
    job_shop.write(gapgym.load("job_shop/ft06"), path)
    options = {"score": {"schedule": "non-delay"}, "chain": {"order": -1}}
    given = {"solvers": [chain(1), "spt"], "rules": score, "options": options}
    frame = gapgym.compare("job_shop", path, **given, out=tmp_path)
    assert list(frame["solver"]) == ["chain", "spt", "score"]
    assert list(frame["instance"].unique()) == ["mine"]
    assert frame.loc[0, "objective"] == 197
    assert frame.loc[1, "objective"] == frame.loc[2, "objective"]
    again = gapgym.compare("job_shop", [path], **given, out=tmp_path)
    pd.testing.assert_frame_equal(frame, again)  # also its seconds
    with Store(tmp_path / "results.sqlite") as store:
        assert len(store.runs()) == 3


@pytest.mark.parametrize("order", [["spt", "it"], ["it", "spt"]])
def test_two_solvers_of_one_name_are_refused(order):
    def spt(instance):
        return None

    with pytest.raises(ValueError, match="two solvers 'spt', expected different names"):
        gapgym.compare("job_shop", "ft06", [spt if name == "it" else name for name in order])


def test_the_fingerprint_knows_code_and_what_a_function_was_made_with():
    def made(value):
        return lambda instance: value

    class Solver:
        def __init__(self, value):
            self.value = value

        def __call__(self, instance):
            return self.value

    different = [
        chain(1), chain(2), made(1), made(2), made(chain(1)), made(chain(2)), Solver(1), Solver(2),
        functools.partial(chain(1), order=3), functools.partial(chain(1), order=4), made(made(1)),
        made(np.arange(3)), made(np.arange(4)), Solver(1).__call__, print,
    ]  # fmt: skip
    assert len({fingerprint(function) for function in different}) == len(different)
    for same in (lambda: chain(1), lambda: made(chain(2)), lambda: Solver(1)):
        assert fingerprint(same()) == fingerprint(same())


def test_the_key_knows_everything_that_decides_a_result():
    base = {
        "digest": "d", "solver": "s", "options": {"a": 1, "b": 2}, "seed": 0, "time_limit": 1.0,
        "version": 1, "content": "",
    }  # fmt: skip
    changes = {
        "digest": "e", "solver": "t", "options": {"a": 2, "b": 2}, "seed": 1, "time_limit": None,
        "version": 2, "content": "c",
    }  # fmt: skip
    keys = {run_key(**base), *(run_key(**{**base, name: v}) for name, v in changes.items())}
    assert len(keys) == 1 + len(changes)
    assert run_key(**{**base, "options": {"b": 2, "a": 1}, "time_limit": 1}) == run_key(**base)


def test_a_stored_run_says_how_it_was_made(user, tmp_path):
    gapgym.compare("job_shop", "ft06", [user("turned")], time_limit=9, workers=2, out=tmp_path)
    with Store(tmp_path / "results.sqlite") as store:
        (run,) = store.runs()
        shop = store.instance(run.digest)
    assert shop == gapgym.load("job_shop/ft06")
    solution = JobShopSolution.from_json(run.solution)
    job_shop.validate(shop, solution)
    assert run.objective == job_shop.objective(shop, solution) == 197
    assert (run.family, run.problem, run.instance) == ("job_shop", "job_shop", "ft06")
    assert (run.seed, run.time_limit, run.workers, run.options) == (0, 9, 2, {})
    assert (run.best_lower, run.best_upper) == (55, 55)
    assert run.status is Status.FEASIBLE
    assert run.gapgym == gapgym.__version__
    assert f"{os.cpu_count()} CPUs" in run.machine
    assert len(run.content) == 64
    assert run.incumbents[-1][1] == 197
    assert run.metrics["utilisation"] > 0


def test_a_stored_solution_that_the_referee_refuses_is_made_again(user, tmp_path, caplog):
    given = ("job_shop", "ft06", [user("counted")])
    gapgym.compare(*given, out=tmp_path)
    with sqlite3.connect(tmp_path / "results.sqlite") as database:
        database.execute("UPDATE runs SET objective = '55'")
    database.close()
    assert gapgym.compare(*given, out=tmp_path).loc[0, "objective"] == 197
    assert len(log_of(user)) == 2


def test_foreign_files_are_refused_and_left_alone(tmp_path):
    text = tmp_path / "text.sqlite"
    text.write_text("no database " * 100)
    foreign = tmp_path / "foreign.sqlite"
    with sqlite3.connect(foreign) as database:
        database.execute("CREATE TABLE mine (x)")
    database.close()
    older = tmp_path / "older.sqlite"
    Store(older).close()
    with sqlite3.connect(older) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    database.close()
    before = {path: path.read_bytes() for path in (text, foreign, older)}
    messages = ("not a database", "another program's database", f"results of version {SCHEMA + 1}")
    for path, message in zip(before, messages, strict=True):
        with pytest.raises(ValueError, match=f"{path.name}.*{message}.*expected"):
            Store(path)
        assert path.read_bytes() == before[path]
    with pytest.raises(ValueError, match="unable to open"):
        Store(tmp_path / "nowhere" / "x.sqlite")


def test_the_folder_holds_the_table_and_the_report(user, tmp_path):
    frame = gapgym.compare("job_shop", "ft06", [user("counted")], out=tmp_path / "a" / "b")
    folder = tmp_path / "a" / "b"
    assert {p.name for p in folder.iterdir()} == {"results.sqlite", "results.csv", "report.html"}
    assert pd.read_csv(folder / "results.csv")["objective"].tolist() == list(frame["objective"])
    with pytest.raises(ValueError, match="a file, expected a folder"):
        gapgym.compare("job_shop", "ft06", "spt", out=folder / "results.csv")


# Processes.


def test_no_more_processes_than_workers_and_results_as_they_end():
    def call(number):
        time.sleep(0.4 * (3 - number))  # far apart, for busy machines
        return number, os.getpid(), time.monotonic()

    calls = [lambda number=number: call(number) for number in range(3)]
    begun = time.monotonic()
    ended = list(in_processes(calls, 3))
    assert [index for index, _ in ended] == [2, 1, 0]
    assert all(outcome.value[0] == index for index, outcome in ended)
    assert len({outcome.value[1] for _, outcome in ended} | {os.getpid()}) == 4
    one_by_one = [outcome.value[2] for _, outcome in in_processes(calls, 1)]
    assert one_by_one == sorted(one_by_one)
    assert one_by_one[0] > begun


def test_an_outcome_that_cannot_be_sent_is_an_error():
    ((_, outcome),) = in_processes([lambda: lambda: None], 1)
    assert outcome.value is None
    assert outcome.error


def test_large_outcomes_arrive_whole():
    ((_, outcome),) = in_processes([lambda: np.arange(10**6)], 1)
    assert outcome == Outcome(outcome.value, "")
    assert outcome.value.sum() == 499999500000


def test_a_call_is_killed_at_its_deadline_and_the_others_go_on():
    calls = [lambda: time.sleep(100), os.getpid, lambda: time.sleep(0.6)]
    outcomes = dict(in_processes(calls, 2, deadlines=[1] * len(calls)))
    assert outcomes[0].late
    assert re.fullmatch(r"killed after 1(\.\d+)? s", outcomes[0].error)
    assert outcomes[1].value
    assert outcomes[2] == Outcome(None)  # its time began when it was started
    assert not multiprocessing.active_children()


def test_a_run_far_beyond_its_time_limit_is_a_row_with_a_message(user, monkeypatch):
    monkeypatch.setattr(study, "_PATIENCE", 2)
    frame = gapgym.compare("job_shop", "ft06", [user("sleeps"), "spt"], time_limit=0.4)
    assert frame["status"].tolist() == ["error", "feasible"]
    assert re.fullmatch(r"killed after [23]\.?\d* s, limit 0.4 s", frame.loc[0, "message"])


def test_closing_ends_the_processes():
    calls = in_processes([os.getpid, lambda: time.sleep(100)], 2)
    _, first = next(calls)
    children = [process.pid for process in multiprocessing.active_children()]
    calls.close()
    assert first.value not in (None, os.getpid())
    assert children
    assert not any(alive(child) for child in children)


def alive(process):
    """Whether a process runs: it exists and is no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, seconds=20):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


STUDY = """
import sys, gapgym
frame = gapgym.compare("job_shop", "ft06,la0[1-5]", [sys.argv[1]], seeds=2, workers=2,
                       out=sys.argv[2])
print(frame.to_json(orient="records"))
sys.exit(130 if frame.attrs["interrupted"] else 0)
"""


def start_study(user, out):
    command = [sys.executable, "-c", STUDY, user("slow"), str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def stored(out):
    """Key to the columns of each stored run, read behind the library's back."""
    path = out / "results.sqlite"
    if not path.exists():
        return {}
    database = sqlite3.connect(path)
    try:
        query = "SELECT key, instance, seed, objective, seconds, finished FROM runs"
        return {row[0]: row[1:] for row in database.execute(query)}
    except sqlite3.OperationalError:  # the tables are not there yet
        return {}
    finally:
        database.close()


def test_a_killed_study_loses_nothing_repeats_nothing_and_leaves_no_orphan(user, tmp_path):
    out = tmp_path / "out"
    study = start_study(user, out)
    wait_until(lambda: len(stored(out)) >= 3)
    os.kill(study.pid, signal.SIGKILL)
    study.communicate()
    begun = {int(words[3]) for words in log_of(user)}
    wait_until(lambda: not any(alive(process) for process in begun))
    kept = stored(out)
    assert 3 <= len(kept) < 12
    unstored = Counter(words[0] for words in log_of(user))["begin"] - len(kept)
    assert unstored <= 2  # no more than were running

    Path(user("x").rpartition(":")[0]).with_name("go").touch()
    second = start_study(user, out)
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 0
    rows = json.loads(output)
    assert len(rows) == 12
    assert {row["status"] for row in rows} == {"feasible"}
    finished = stored(out)
    assert len(finished) == 12
    assert kept.items() <= finished.items()  # to the second and the digit
    ends = Counter(tuple(words[1:3]) for words in log_of(user) if words[0] == "end")
    for name, seed, *_ in kept.values():
        assert ends[name, str(seed)] == 1
    assert set(ends) == {(name, str(seed)) for name, seed, *_ in finished.values()}


def test_ctrl_c_ends_the_children_and_keeps_what_is_finished(user, tmp_path):
    out = tmp_path / "out"
    study = start_study(user, out)
    wait_until(lambda: len(stored(out)) >= 2)
    os.killpg(study.pid, signal.SIGINT)  # as a terminal does
    output, _ = study.communicate(timeout=20)
    assert study.returncode == 130
    rows = json.loads(output)
    assert 2 <= len(rows) < 12
    assert {row["status"] for row in rows} == {"feasible"}
    assert len(stored(out)) == len(rows)
    assert not any(alive(int(words[3])) for words in log_of(user))
    assert {"results.csv", "report.html"} <= {path.name for path in out.iterdir()}


# Tables.


def test_the_summary_counts_and_averages_only_what_is_there(user):
    frame = gapgym.compare(
        "job_shop", "ft06,la01", [user(n) for n in ("counted", "broken", "nothing")]
    )
    table = tables.summary(frame).set_index("solver")
    mine = table.loc[user("counted")]
    gaps = [makespan_in_sequence("ft06") / 55 - 1, makespan_in_sequence("la01") / 666 - 1]
    assert mine["gap"] == pytest.approx(np.mean(gaps))
    assert (mine["runs"], mine["failed"], mine["without_gap"], mine["optimal"]) == (2, 0, 0, 0)
    assert table.loc[user("broken"), ["runs", "failed", "without_gap"]].tolist() == [2, 2, 0]
    assert table.loc[user("nothing"), ["runs", "failed", "without_gap"]].tolist() == [2, 0, 2]
    assert math.isnan(table.loc[user("broken"), "gap"])


def test_proven_optimal_runs_are_counted():
    frame = gapgym.compare("job_shop", "ft06", "spt,cp_sat", time_limit=10)
    assert tables.summary(frame)["optimal"].tolist() == [0, 1]
    assert frame["bound_gap"].tolist()[1] == 0


def test_markdown_has_a_row_per_solver(user):
    frame = gapgym.compare("job_shop", "ft06", ["spt", user("counted")])
    lines = tables.markdown(frame).splitlines()
    assert len(lines) == 4
    assert all(line.startswith("| ") and line.endswith(" |") for line in lines)
    assert lines[3].split(" | ")[2] == "258.18 %"


# The report.


def blocks_of(page):
    found = re.findall(r'<script type="text/plain" id="([^"]*)">([^<]*)</script>', page)
    return {name: gzip.decompress(base64.b64decode(text)).decode() for name, text in found}


def test_the_report_shows_every_run_and_its_solution(user, tmp_path):
    frame = gapgym.compare("job_shop", "ft06,la01", ["spt", user("turned")], seeds=2, out=tmp_path)
    page = (tmp_path / "report.html").read_text()
    blocks = {name: json.loads(t) for name, t in blocks_of(page).items() if name != "plotly"}
    assert len(blocks["runs"]) == len(frame) == len(re.findall(r'data-run="\d', page)) == 8
    for row, run in zip(frame.to_dict("records"), blocks["runs"], strict=True):
        assert run["instance"] == row["instance"]
        assert run["run"] == f"{row['solver']}, seed {row['seed']}"
        assert f"objective {row['objective']} " in run["caption"]
        bars = blocks[run["picture"]]["data"][0]
        columns = {k: blocks[v["$"]] for k, v in bars.items() if isinstance(v, dict) and "$" in v}
        ends = [base + length for base, length in zip(columns["base"], columns["x"], strict=True)]
        assert max(ends) == row["objective"]
        shop = gapgym.load(f"job_shop/{row['instance']}")
        assert len(ends) == shop.machines.size
        detail = columns["hovertext"][0].replace("\x01", f"[{columns['base'][0]}, {ends[0]})")
        assert detail == f"job 0, operation 0: [{columns['base'][0]}, {ends[0]})"


def test_the_charts_show_the_gaps(user, tmp_path):
    gapgym.compare("job_shop", "ft06,la01", [user("counted"), user("broken")], out=tmp_path)
    charts = json.loads(blocks_of((tmp_path / "report.html").read_text())["charts"])
    mine, broken = charts["profile"]["data"]
    gaps = sorted(
        100 * (makespan_in_sequence(name) / best - 1)
        for name, best in (("ft06", 55), ("la01", 666))
    )
    assert mine["x"][1:-1] == pytest.approx(gaps, abs=1e-3)
    assert mine["y"] == [0, 0.5, 1, 1]
    assert set(broken["y"]) == {0}
    (trail,) = charts["trail"]["data"]
    assert trail["y"] == pytest.approx([np.mean(gaps)] * len(trail["y"]), abs=1e-3)


def test_random_durations_are_noted_in_table_and_report(user, tmp_path):
    for cv, noted in ((0.3, True), (0.0, False)):
        shop = gapgym.load("job_shop/uniform-3x2", cv=cv)
        frame = gapgym.compare("job_shop", [shop], [user("counted")], out=tmp_path)
        assert ("clairvoyant" in frame.attrs["note"]) == noted
        assert ("clairvoyant" in (tmp_path / "report.html").read_text()) == noted


def test_the_report_refers_to_nothing_outside(user, tmp_path):
    gapgym.compare("job_shop", "ft06", [user("counted")], out=tmp_path)
    page = (tmp_path / "report.html").read_text()
    outside = re.sub(r'<script type="text/plain".*?</script>', "", page)
    assert not re.search(r"https?:|src=|href=|@import|url\(", outside)
    assert "default-src 'none'" in outside
    assert "prefers-color-scheme: dark" in outside
    assert 'name="viewport"' in outside


def test_names_in_the_report_are_escaped(tmp_path, user):
    shop = JobShopInstance.from_lists([[(0, 3)]], name="</script><img src=x>")
    gapgym.compare("job_shop", [shop], [user("counted")], out=tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "<img" not in page
    assert "&lt;/script&gt;&lt;img src=x&gt;" in page


def test_a_report_without_any_gap_says_so(user, tmp_path):
    gapgym.compare("job_shop", "ft06", [user("nothing"), user("broken")], out=tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "No run has a gap" in page
    assert "RuntimeError: two lines" in page
    assert json.loads(blocks_of(page)["charts"]) == dict.fromkeys(("profile", "trail", "close"))


def test_a_report_of_a_hundred_runs_stays_small(user, tmp_path):
    names = ",".join(f"uniform-15x10-s{seed}" for seed in range(25))
    solvers = ["spt", "mwkr", "random", user("counted")]
    frame = gapgym.compare("job_shop", names, solvers, workers=2, out=tmp_path)
    assert len(frame) == 100
    assert (tmp_path / "report.html").stat().st_size < 5_000_000
