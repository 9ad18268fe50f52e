"""Studies from TOML files: grids, resumption, executors, merging and reports."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from gapgym.baselines.solver import Status
from gapgym.experiments import cli, spec, tables
from gapgym.experiments.pool import in_processes, in_series
from gapgym.experiments.progress import silent
from gapgym.experiments.store import SCHEMA, Store

USER_FILE = """
import os, pathlib, time
import numpy as np
from gapgym.instances.job_shop import JobShopSolution

LOG = pathlib.Path(__file__).with_name("log.txt")

def sequential(instance, seed=0, factor=1):
    ends = np.cumsum(instance.durations.ravel()).reshape(instance.durations.shape)
    with LOG.open("a") as file:
        print(instance.name, seed, factor, file=file, flush=True)
    return JobShopSolution(factor * (ends - instance.durations) + (factor - 1))

def steady(instance, seed=0):
    time.sleep(0.02)  # so that a node dies in the middle of a run
    return sequential(instance, seed)

def fails(instance):
    if not LOG.with_name("mended").exists():
        raise RuntimeError("not yet")
    return sequential(instance)

def greedy(instance):
    return np.ones(2**29)  # 4 GiB

def score(c):
    return -c["processing_time"]
"""

STUDY = """
question = "Which of these is the worst?"

[[grid]]
family = "job_shop"
instances = { small = ["ft06"], "ten by five" = ["la0[1-2]"] }
seeds = 2
solvers = [
  "spt",
  { solver = "mine.py:sequential", name = "mine" },
  { solver = "mine.py:sequential", name = "turned", sweep = { factor = [1, 2] } },
  { rule = "mine.py:score" },
]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, with a study and a user's solvers."""
    (tmp_path / "mine.py").write_text(USER_FILE)
    (tmp_path / "study.toml").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder, capfd):
    """Runs the command line; gives exit code, standard output and standard error."""

    def command(*arguments):
        code = cli.run([str(argument) for argument in arguments])
        return code, *capfd.readouterr()

    return command


def log(folder):
    path = folder / "log.txt"
    return path.read_text().splitlines() if path.exists() else []


# The grid.


def test_a_study_is_all_combinations_with_sweeps_under_names_of_their_own(folder):
    cells = spec.read(Path("study.toml")).study.cells
    assert len(cells) == 3 * 5 * 2
    names = ["spt", "mine", "turned[factor=1]", "turned[factor=2]", "score"]
    assert list(dict.fromkeys(cell.contender.name for cell in cells)) == names
    groups = {cell.label: cell.group for cell in cells}
    assert groups == {"ft06": "small", "la01": "ten by five", "la02": "ten by five"}
    assert [cell.contender.sweep for cell in cells][::2][:5] == ["", "", "turned", "turned", ""]


def test_several_time_limits_are_several_solvers_in_the_tables(folder):
    Path("study.toml").write_text(
        '[[grid]]\nfamily = "job_shop"\ninstances = ["ft06"]\ntime_limit = [1, 2.5]\n'
        'solvers = ["spt"]\n'
    )
    cells = spec.read(Path("study.toml")).study.cells
    assert [cell.contender.name for cell in cells] == ["spt@1s", "spt@2.5s"]
    assert [cell.time_limit for cell in cells] == [1, 2.5]
    assert cells[0].key != cells[1].key


def test_several_families_share_a_study(folder):
    Path("study.toml").write_text(
        '[[grid]]\nfamily = "job_shop"\ninstances = ["ft06"]\nsolvers = ["spt"]\n'
        '[[grid]]\nfamily = "tardiness"\ninstances = ["pvw-6"]\nset = { seed = 3 }\n'
        'solvers = ["spt"]\n'
    )
    study = spec.read(Path("study.toml")).study
    study.run(None, silent)
    frame = study.frame()
    assert frame["instance"].tolist() == ["job_shop/ft06", "tardiness/pvw-6-s3"]
    assert (frame["status"] == "feasible").all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("question = 3\ngrid = []", "question = 3, expected str"),
        ("[[grid]\n", "expected TOML"),
        ("question = 'x'", "no 'grid', expected it"),
        ("colour = 1\ngrid = []", "unknown key 'colour', expected some of: question"),
        ("grid = [1]", "grid 0: 1, expected a table with family"),
        ("[[grid]]\nfamily = 'job_shop'", "grid 0: no 'instances', expected it"),
        (
            "[[grid]]\nfamily = 'job_shop'\ninstances = ['zz*']\nsolvers = ['spt']",
            "'zz*': matches no job_shop instance",
        ),
        (
            "[[grid]]\nfamily = 'job_shop'\ninstances = ['ft06']\nsolvers = ['sqt']",
            "unknown solver 'sqt' for job_shop",
        ),
        (
            "[[grid]]\nfamily = 'job_shop'\ninstances = ['ft06']\nsolvers = [{ name = 'x' }]",
            "grid 0, solvers: {'name': 'x'}, expected either 'solver' or 'rule'",
        ),
        (
            "[[grid]]\nfamily = 'job_shop'\ninstances = ['ft06']\nsolvers = ['spt', 'spt']",
            "grid 0: two solvers 'spt'",
        ),
        (
            "[[grid]]\nfamily = 'job_shop'\ninstances = ['ft06']\n"
            "solvers = [{ solver = 'spt', sweep = { samples = 3 } }]",
            "sweep of spt: {'samples': 3}, expected a list of values",
        ),
        (
            "references = ['x']\n"
            "[[grid]]\nfamily = 'job_shop'\ninstances = ['ft06']\nsolvers = ['spt']",
            "reference 'x', expected one of: best_known",
        ),
        (
            "executor = 'cloud'\n"
            "[[grid]]\nfamily = 'job_shop'\ninstances = ['ft06']\nsolvers = ['spt']",
            "unknown executor 'cloud', expected one of: process, serial, ray",
        ),
        (
            "memory_limit = 0\n"
            "[[grid]]\nfamily = 'job_shop'\ninstances = ['ft06']\nsolvers = ['spt']",
            "memory_limit 0, expected more than 0 GiB",
        ),
        ("grid = []", "no grid, expected at least one"),
        (
            "[[grid]]\nfamily = 'job_shop'\ninstances = ['ft06']\nsolvers = []",
            "grid 0: no solvers or no time limit",
        ),
        (
            "[[grid]]\nfamily = 'job_shop'\ninstances = ['ft06']\nsolvers = ['spt']\nseeds = ['a']",
            "seed 'a', expected an integer",
        ),
        (
            "[[grid]]\nfamily = 'job_shop'\ninstances = ['ft06']\nsolvers = ['spt']\n"
            "time_limit = ['x']",
            "time limit x, expected more than 0 seconds",
        ),
    ],
)
def test_a_file_that_is_not_understood_is_one_line(text, message, run):
    Path("study.toml").write_text(text)
    code, output, error = run("study", "run", "study.toml")
    assert code == 2
    assert not output
    assert error.count("\n") == 1
    assert "study.toml" in error
    assert message in error
    assert not Path("results").exists()


def test_a_policy_beside_the_study_is_found_from_elsewhere(run, folder, monkeypatch):
    from gapgym.agents import checkpoint
    from gapgym.agents.policy import Policy, config_for
    from gapgym.envs.registry import simulator_of

    (folder / "sub").mkdir()
    checkpoint.save(Policy(config_for(simulator_of("job_shop"))), folder / "sub" / "p.safetensors")
    (folder / "sub" / "s.toml").write_text(
        '[[grid]]\nfamily = "job_shop"\ninstances = ["ft06"]\nsolvers = ["p.safetensors"]\n'
    )
    code, output, _ = run("study", "run", "sub/s.toml", "--json")
    assert code == 0
    assert json.loads(output)[0]["status"] == "feasible"


def test_a_result_that_cannot_be_stored_is_a_row(run, folder):
    with (folder / "mine.py").open("a") as file:
        file.write(
            "\ndef odd(instance):\n    from gapgym.baselines import Draft\n"
            "    return Draft(sequential(instance), np.int64(1))\n"
        )
    Path("study.toml").write_text(
        '[[grid]]\nfamily = "job_shop"\ninstances = ["ft06"]\nsolvers = ["mine.py:odd", "spt"]\n'
    )
    code, output, _ = run("study", "run", "study.toml", "--json")
    assert code == 0
    assert [row["status"] for row in json.loads(output)] == ["error", "feasible"]


def test_two_runs_of_one_name_are_refused(run):
    grid = '[[grid]]\nfamily = "job_shop"\ninstances = ["ft06"]\nsolvers = ["spt"]\n'
    Path("study.toml").write_text(grid + "time_limit = 1\n" + grid + "time_limit = 5\n")
    code, _, error = run("study", "run", "study.toml")
    assert code == 2
    assert "two different solvers 'spt' for ft06, expected different names" in error


def test_an_unknown_study_names_those_there_are(run):
    code, _, error = run("study", "run", "nothing")
    assert code == 2
    assert "no study 'nothing', expected a TOML file or one of: " in error
    assert "tardiness_paper" in error


def test_every_study_of_the_library_is_listed_and_asks_something(run):
    code, output, _ = run("study", "list")
    assert code == 0
    lines = output.splitlines()
    assert len(lines) == len(list(spec.STUDIES.glob("*.toml"))) > 0
    assert all(line.endswith("?") for line in lines)


# Commands.


def test_run_status_report_and_export(run, folder):
    code, output, _ = run("study", "status", "study.toml")
    assert (code, output) == (2, "")
    code, output, error = run("study", "run", "study.toml")
    assert code == 0, error
    assert "report: results/study/report.html" in output
    results = folder / "results" / "study"
    files = {"results.sqlite", "results.csv", "report.html", "tables.md"}
    assert files == {path.name for path in results.iterdir()}
    assert "Which of these is the worst?" in (results / "report.html").read_text()
    markdown = (results / "tables.md").read_text()
    assert "| solver | small | ten by five |" in markdown
    made = len(log(folder))

    code, output, _ = run("study", "status", "study.toml")
    assert "30 of 30 runs finished" in output
    (results / "tables.md").unlink()
    code, _, _ = run("study", "report", "study.toml")
    assert (results / "tables.md").read_text() == markdown
    code, output, _ = run("study", "run", "study.toml", "--json")
    assert len(json.loads(output)) == 30
    assert len(log(folder)) == made  # nothing was run again

    for name in ("x.csv", "x.json", "x.md"):
        assert run("study", "export", "study.toml", "--to", name)[0] == 0
    assert len(json.loads(Path("x.json").read_text())) == 30
    assert Path("x.csv").read_text() == (results / "results.csv").read_text()
    assert Path("x.md").read_text() == markdown
    code, _, error = run("study", "export", "study.toml", "--to", "x.xls")
    assert code == 2
    assert "expected .csv, .json or .md" in error


def test_run_leaves_failures_and_retry_makes_them_again(run, folder):
    Path("study.toml").write_text(
        '[[grid]]\nfamily = "job_shop"\ninstances = ["ft06", "la01"]\n'
        'solvers = ["spt", "mine.py:fails"]\n'
    )
    assert run("study", "run", "study.toml")[0] == 0
    Path("mended").touch()
    assert run("study", "run", "study.toml")[0] == 0
    assert log(folder) == []
    _, output, _ = run("study", "status", "study.toml")
    assert "2 of 4 runs finished" in output
    _, output, _ = run("study", "retry", "study.toml", "--json")
    assert {row["status"] for row in json.loads(output)} == {"feasible"}
    assert len(log(folder)) == 2


def test_merge_takes_what_is_missing_and_what_is_better(run, folder):
    text = '[[grid]]\nfamily = "job_shop"\ninstances = ["{}"]\nsolvers = ["mine.py:fails"]\n'
    for name, out, mended in (("ft06", "a", False), ("ft06", "b", True), ("la01", "c", True)):
        Path("mended").touch() if mended else None
        Path("study.toml").write_text(text.format(name))
        assert run("study", "run", "study.toml", "--out", out)[0] == 0
    code, output, _ = run("study", "merge", "a", "b", "c")
    assert code == 0
    assert output.splitlines() == ["b: 1 runs taken", "c: 1 runs taken"]
    with Store("a/results.sqlite") as store:
        assert {(run.instance, run.status) for run in store.runs()} == {
            ("ft06", Status.FEASIBLE),
            ("la01", Status.FEASIBLE),
        }
    assert run("study", "merge", "a", "b")[1] == "b: 0 runs taken\n"
    code, _, error = run("study", "merge", "a", "nowhere")
    assert code == 2
    assert "nowhere: no results.sqlite there" in error


# What may go wrong.


def test_a_run_beyond_its_memory_is_a_row_and_the_others_go_on(run):
    Path("study.toml").write_text(
        'memory_limit = 1\n[[grid]]\nfamily = "job_shop"\ninstances = ["ft06"]\n'
        'solvers = ["mine.py:greedy", "spt"]\n'
    )
    code, output, _ = run("study", "run", "study.toml", "--json")
    assert code == 0
    rows = json.loads(output)
    assert [row["status"] for row in rows] == ["error", "feasible"]
    assert "MemoryError" in rows[0]["message"]


def test_a_store_of_the_first_version_is_brought_up_to_date(run, folder):
    run("study", "run", "study.toml")
    path = folder / "results" / "study" / "results.sqlite"
    database = sqlite3.connect(path)
    with database:
        database.execute("ALTER TABLE runs DROP COLUMN cpu_seconds")
        database.execute("PRAGMA user_version = 1")
    database.close()
    made = len(log(folder))
    code, output, _ = run("study", "run", "study.toml", "--json")
    assert code == 0
    assert len(json.loads(output)) == 30
    assert len(log(folder)) == made
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA user_version").fetchone() == (SCHEMA,)
    database.close()


def test_a_full_disk_is_one_line_and_loses_nothing(folder, monkeypatch):
    study = spec.read(Path("study.toml")).study
    with Store("full.sqlite") as store:
        add = store.add

        def fill(run, instance):
            if len(store.runs()) == 3:
                (pages,) = store._database.execute("PRAGMA page_count").fetchone()
                store._database.execute(f"PRAGMA max_page_count = {pages}")
            add(run, instance)

        monkeypatch.setattr(store, "add", fill)
        with pytest.raises(ValueError, match=r"full.sqlite: database or disk is full"):
            study.run(store, silent)
    with Store("full.sqlite") as store:
        assert len(store.runs()) >= 3


def test_a_corrupt_row_is_one_line(run, folder):
    run("study", "run", "study.toml")
    path = folder / "results" / "study" / "results.sqlite"
    database = sqlite3.connect(path)
    with database:
        database.execute("UPDATE runs SET metrics = '{'")
    database.close()
    code, _, error = run("study", "status", "study.toml")
    assert code == 2
    assert error.count("\n") == 1
    assert "results.sqlite, run " in error
    assert "expected a stored run" in error


@pytest.mark.slow
def test_two_thousand_cells_killed_five_times_end_as_two_thousand_rows(folder):
    Path("study.toml").write_text(
        'workers = 2\n[[grid]]\nfamily = "job_shop"\ninstances = ["ft06", "la0[1-4]"]\n'
        'seeds = 200\nsolvers = ["mine.py:sequential", "spt"]\n'
    )
    command = [sys.executable, "-m", "gapgym.experiments.cli", "study", "run", "study.toml"]
    path, rng = folder / "results" / "study" / "results.sqlite", random.Random(0)
    for kill in range(5):
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        goal, limit = rng.randint(1, 300) + 300 * kill, time.monotonic() + 120
        while stored(path) < goal:
            assert time.monotonic() < limit
            assert running.poll() is None
            time.sleep(0.01)
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
    assert stored(path) < 2000
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=300)
    with Store(path) as store:
        runs = store.runs()
    assert len(runs) == len({run.key for run in runs}) == 2000
    assert {run.status for run in runs} == {Status.FEASIBLE}
    repeated = sum(count - 1 for count in Counter(log(folder)).values())
    assert len(set(log(folder))) == 1000
    assert repeated <= 5 * 2  # what was running when it was killed


def stored(path):
    """Number of rows, read behind the library's back."""
    if not path.exists():
        return 0
    database = sqlite3.connect(path, timeout=60)
    try:
        (count,) = database.execute("SELECT count(*) FROM runs").fetchone()
    except sqlite3.OperationalError:  # the tables are not there yet
        return 0
    finally:
        database.close()
    return count


# Executors.


def test_all_executors_give_the_same_outcomes_and_keep_failures_apart():
    def fail():
        raise RuntimeError("two\nlines")

    calls = [lambda: 1, fail, lambda: "three"]
    one, other = (dict(execute(calls, 1)) for execute in (in_series, in_processes))
    assert one == other
    assert one[1].error == "RuntimeError: two lines"


def test_without_ray_its_executor_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, error = run("study", "run", "study.toml", "--executor", "ray")
    assert code == 2
    assert "Ray is not installed, expected pip install gapgym[ray]" in error


@pytest.mark.slow
def test_a_study_on_a_cluster_survives_the_death_of_a_node(folder, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    script = folder / "on_ray.py"
    script.write_text(RAY_SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=400, cwd=folder
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((folder / "found.json").read_text()) == {
        "rows": 2000,
        "keys": 2000,
        "statuses": ["feasible"],
        "interrupted": False,
        "nodes_left": 1,
    }


RAY_SCRIPT = """
import json, logging, time
import ray
from ray.cluster_utils import Cluster

from gapgym.experiments import spec
from gapgym.experiments.store import Store
from pathlib import Path

Path("study.toml").write_text(
    'workers = 2\\nexecutor = "ray"\\n[[grid]]\\nfamily = "job_shop"\\n'
    'instances = ["ft06", "la0[1-4]"]\\nseeds = 200\\n'
    'solvers = ["mine.py:steady", "spt"]\\n'
)
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
node = cluster.add_node(num_cpus=1)
ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)

class Killer:
    done = 0
    def __init__(self, total): pass
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def tick(self): pass
    def advance(self, what):
        Killer.done += 1
        if Killer.done == 300:
            cluster.remove_node(node, allow_graceful=False)

study = spec.read(Path("study.toml")).study
with Store("ray.sqlite") as store:
    interrupted = study.run(store, Killer)
    runs = store.runs()
alive = lambda: sum(node["Alive"] for node in ray.nodes())
while alive() > 1:  # the head notices after a while
    time.sleep(0.2)
Path("found.json").write_text(json.dumps({
    "rows": len(runs),
    "keys": len({run.key for run in runs}),
    "statuses": sorted({str(run.status) for run in runs}),
    "interrupted": interrupted,
    "nodes_left": alive(),
}))
ray.shutdown()
cluster.shutdown()
"""


# Tables.


def test_seconds_are_told_by_group(folder):
    study = spec.read(Path("study.toml")).study
    study.run(None, silent)
    frame = study.frame()
    shown = tables.study_markdown("study", "", frame).partition("longest run, by group:")[2]
    row = next(line for line in shown.splitlines() if line.startswith("| spt |"))
    spt = frame[(frame["solver"] == "spt") & (frame["group"] == "small")]["seconds"]
    mean, most = (tables.text("seconds", value) for value in (spt.mean(), spt.max()))
    assert f"| {mean} ({most}) |" in row


def test_groups_are_averaged_apart(folder):
    study = spec.read(Path("study.toml")).study
    study.run(None, silent)
    frame = study.frame()
    means = tables.by_group(frame, "gap")
    spt = frame[frame["solver"] == "spt"]
    assert means.loc["spt", "small"] == pytest.approx(spt[spt["instance"] == "ft06"]["gap"].mean())
    assert means.loc["spt", "ten by five"] == pytest.approx(
        np.mean([spt[spt["instance"] == name]["gap"].mean() for name in ("la01", "la02")])
    )
