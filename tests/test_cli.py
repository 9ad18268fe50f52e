import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

import gapgym
from gapgym.experiments import cli
from gapgym.instances import FAMILIES, job_shop
from gapgym.instances.job_shop import JobShopSolution

USER_FILE = """
import os, time
import numpy as np
from gapgym.instances.job_shop import JobShopSolution

def mine(instance, order=1):
    print("a solver that talks")
    os.write(1, b"below Python, too\\n")
    ends = np.cumsum(instance.durations.ravel()).reshape(instance.durations.shape)
    return JobShopSolution(ends - instance.durations)

def patient(instance, *, on_incumbent):
    on_incumbent(mine(instance))
    print("waiting", flush=True)
    time.sleep(100)

def nothing(instance):
    return None

def fails(instance):
    raise TypeError("two\\nlines")

def score(c):
    return -c["processing_time"]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, with a file of the user's solvers."""
    (tmp_path / "user.py").write_text(USER_FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder, capfd):
    """Runs the command line; gives exit code, standard output and standard error."""

    def command(*arguments):
        code = cli.run([str(argument) for argument in arguments])
        return code, *capfd.readouterr()

    return command


def sequential(instance):
    ends = np.cumsum(instance.durations.ravel()).reshape(instance.durations.shape)
    return JobShopSolution(ends - instance.durations)


def refuse_constants(text):
    raise AssertionError(f"{text} is no JSON")


def strict_json(text):
    return json.loads(text, parse_constant=refuse_constants)


# solve.


def test_solve_prints_one_object_and_nothing_else(run):
    code, out, _ = run("solve", "job_shop", "ft06", "--solver", "user.py:mine", "--json")
    assert code == 0
    (line,) = out.splitlines()
    row = strict_json(line)
    keys = [
        "instance",
        "solver",
        "seed",
        "objective",
        "bound",
        "status",
        "seconds",
        "metrics",
        "solution",
    ]
    assert list(row) == keys
    assert (row["instance"], row["solver"], row["seed"]) == ("ft06", "user.py:mine", 0)
    assert (row["objective"], row["bound"], row["status"]) == (197, None, "feasible")
    shop = gapgym.load("job_shop/ft06")
    solution = JobShopSolution.from_json(row["solution"])
    assert solution == sequential(shop)
    assert row["metrics"] == pytest.approx(job_shop.metrics(shop, solution))


def test_solve_finds_and_proves_the_optimum(run):
    code, out, _ = run("solve", "job_shop", "ft06", "--time-limit", "20", "--json")
    row = strict_json(out)
    assert code == 0
    assert (row["solver"], row["objective"], row["bound"], row["status"]) == (
        "cp_sat", 55, 55, "optimal",
    )  # fmt: skip


def test_solve_tells_a_reader_the_gaps(run):
    _, out, _ = run("solve", "job_shop", "ft06", "--solver", "user.py:mine")
    assert "ft06, user.py:mine: feasible" in out
    assert "objective 197" in out
    assert "258.18 % above the best known 55" in out
    assert "above the lower bound 55" in out


@pytest.mark.parametrize(
    "command", [("solve", "ft06", "--solver"), ("compare", "--instances", "ft06", "--solvers")]
)
def test_random_durations_are_noted(run, command):
    name, *rest = command
    note = "note: durations are random: cp_sat and every bound know the realised ones"
    assert note in run(name, "job_shop", *rest, "spt", "--set", "cv=0.3")[1]
    assert "note:" not in run(name, "job_shop", *rest, "spt")[1]


def test_a_rule_of_the_user_is_played(run):
    _, out, _ = run(
        "solve",
        "job_shop",
        "la01",
        "--rule",
        "user.py:score",
        "--option",
        "schedule=non-delay",
        "--json",
    )
    mine = strict_json(out)
    _, out, _ = run("solve", "job_shop", "la01", "--solver", "spt", "--json")
    assert mine["solver"] == "score"
    assert mine["solution"] == strict_json(out)["solution"]


def test_set_reaches_the_reader_and_option_the_solver(run):
    _, out, _ = run(
        "solve", "job_shop", "uniform-4x3", "--set", "seed=7", "--set", "high=5",
        "--solver", "mwkr", "--option", "samples=3", "--seed", "2", "--json",
    )  # fmt: skip
    row = strict_json(out)
    shop = gapgym.load("job_shop/uniform-4x3", seed=7, high=5)
    expected = gapgym.solve(shop, "mwkr", seed=2, samples=3)
    assert row["instance"] == shop.name
    assert row["solution"] == expected.solution.to_json()


def test_a_solution_goes_to_a_file_and_can_be_checked_and_shown(run, folder):
    code, _, _ = run("solve", "job_shop", "ft06", "--solver", "user.py:mine", "--out", "s.json")
    assert code == 0
    assert JobShopSolution.from_json(json.loads((folder / "s.json").read_text()))
    code, out, _ = run("check", "job_shop", "ft06", "s.json")
    assert (code, out.count("\n")) == (0, 1)
    assert "objective 197" in out
    code, out, _ = run("show", "job_shop", "ft06", "s.json")
    assert code == 0
    assert "makespan 197" in out
    for name, start in (("p.html", b"<!DOCTYPE html>"), ("p.png", b"\x89PNG")):
        assert run("show", "job_shop", "ft06", "s.json", "--out", name)[0] == 0
        assert (folder / name).read_bytes().startswith(start)
    assert sorted(p.name for p in folder.iterdir() if p.suffix != ".py") == [
        "p.html", "p.png", "s.json",
    ]  # fmt: skip


def test_the_output_of_solve_json_can_be_checked(run, folder):
    _, out, _ = run("solve", "job_shop", "ft06", "--solver", "user.py:mine", "--json")
    (folder / "row.json").write_text(out)
    code, out, _ = run("check", "job_shop", "ft06", "row.json", "--json")
    assert code == 0
    assert strict_json(out) == {"instance": "ft06", "feasible": True, "objective": 197}


def test_without_a_solution_nothing_is_written(run, folder):
    code, _, err = run(
        "solve", "job_shop", "ft06", "--solver", "user.py:nothing", "--out", "s.json"
    )
    assert code == 2
    assert "no solution" in err
    assert not (folder / "s.json").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (((0, 0), 5), "operation (0, 1): starts at 1, expected at or after the end 6"),
        (((1, 0), 4), "machine 1: operations (0, 2) [4, 10) and (1, 0) [4, 12) overlap"),
        (((2, 2), -1), "operation (2, 2): start -1, expected >= 0"),
    ],
)
def test_check_names_the_first_violated_constraint(run, folder, change, message):
    shop = gapgym.load("job_shop/ft06")
    start = sequential(shop).start.copy()
    place, value = change
    start[place] = value
    (folder / "s.json").write_text(json.dumps(JobShopSolution(start).to_json()))
    code, out, err = run("check", "job_shop", "ft06", "s.json")
    assert (code, err, out.count("\n")) == (1, "", 1)
    assert message in out
    code, out, _ = run("check", "job_shop", "ft06", "s.json", "--json")
    assert code == 1
    row = strict_json(out)
    assert row["feasible"] is False
    assert message in row["violation"]


def test_a_solution_of_another_instance_is_infeasible(run):
    run("solve", "job_shop", "ft06", "--solver", "user.py:mine", "--out", "s.json")
    code, out, _ = run("check", "job_shop", "la01", "s.json")
    assert code == 1
    assert "start (6, 6), expected (10, 5)" in out


def test_show_refuses_what_check_refuses(run, folder):
    shop = gapgym.load("job_shop/ft06")
    start = sequential(shop).start.copy()
    start[1, 0] = 4
    (folder / "s.json").write_text(json.dumps(JobShopSolution(start).to_json()))
    for name in ("ft06", "la01"):  # its own instance and another one
        checked = run("check", "job_shop", name, "s.json")
        assert checked[0] == 1
        assert run("show", "job_shop", name, "s.json", "--out", "x.png") == checked
    assert not (folder / "x.png").exists()


# compare.


def test_compare_prints_a_list_of_rows(run):
    code, out, _ = run(
        "compare", "job_shop", "--instances", "ft06,la0[1-2]", "--solvers", "spt,mwkr",
        "--solver", "user.py:nothing", "--rule", "user.py:score", "--seeds", "2",
        "--option", "score.schedule=non-delay", "--json",
    )  # fmt: skip
    assert code == 0
    rows = strict_json(out)
    assert len(rows) == 3 * 4 * 2
    keys = ["instance", "solver", "seed", "objective", "gap", "bound_gap", "status", "seconds"]
    assert all(set(keys) <= set(row) for row in rows)
    nothing = [row for row in rows if row["solver"] == "user.py:nothing"]
    assert {(row["objective"], row["gap"]) for row in nothing} == {(None, None)}
    spt = [row["objective"] for row in rows if row["solver"] == "spt"]
    assert spt == [row["objective"] for row in rows if row["solver"] == "score"]
    assert rows[0]["gap"] == pytest.approx(rows[0]["objective"] / 55 - 1)


def test_compare_writes_a_folder_and_goes_on_where_it_was(run, folder):
    command = (
        "compare", "job_shop", "--instances", "ft06", "--solver", "user.py:mine",
        "--out", "results",
    )  # fmt: skip
    code, out, _ = run(*command)
    assert code == 0
    assert re.search(r"user.py:mine +0 +197 +258.18 %", out)
    assert "results/report.html" in out
    first = pd.read_csv(folder / "results" / "results.csv")
    assert run(*command)[0] == 0
    again = pd.read_csv(folder / "results" / "results.csv")
    pd.testing.assert_frame_equal(first, again)  # also its seconds: it was not run again


def test_compare_passes_options_to_their_solver(run):
    _, out, _ = run(
        "compare", "job_shop", "--instances", "la01", "--solvers", "spt,mwkr",
        "--option", "mwkr.samples=20", "--json",
    )  # fmt: skip
    _, plain = strict_json(out)
    shop = gapgym.load("job_shop/la01")
    assert plain["objective"] == gapgym.solve(shop, "mwkr", samples=20).objective


def test_failed_runs_are_told_in_one_line(run):
    code, out, err = run(
        "compare", "job_shop", "--instances", "ft06,la01", "--solver", "user.py:mine",
        "--solver", "user.py:fails", "--json",
    )  # fmt: skip
    assert code == 0
    assert [row["status"] for row in strict_json(out)] == ["feasible", "error"] * 2
    last = err.splitlines()[-1]
    assert last == "gapgym: 2 of 4 runs failed; first: ft06, user.py:fails: TypeError: two lines"
    assert run("compare", "job_shop", "--instances", "ft06", "--solver", "user.py:fails")[0] == 1


# list and help.


def test_list_tells_what_there_is(run):
    code, out, _ = run("list")
    assert code == 0
    assert all(name in out for name in FAMILIES)
    for family in FAMILIES:
        code, out, _ = run("list", family)
        assert code == 0
        assert "cp_sat" in out
        assert "gapgym/" in out
        assert str(len(FAMILIES[family].names())) in out


@pytest.mark.parametrize(
    "command", [(), *((c,) for c in ("solve", "check", "show", "compare", "data", "list", "speed"))]
)
def test_every_command_has_help(run, command):
    code, out, err = run(*command, "--help")
    assert (code, err) == (0, "")
    assert "Usage" in out


def test_no_arguments_are_help(run):
    assert run()[0] == 0


# Bad input.

GOOD = "2 2\n0 3 1 2\n1 4 0 1\n"
FILES = {
    "empty.txt": b"",
    "binary.txt": bytes(range(256)),
    "zero.txt": b"2 2\n\0",
    "words.txt": b"2 2\n0 3 1 x\n1 4 0 1\n",
    "missing.txt": b"2 2\n0 3 1\n1 4 0 1\n",
    "extra.txt": b"2 2\n0 3 1 2 1 1\n1 4 0 1\n",
    "negative.txt": b"2 2\n0 3 1 -2\n1 4 0 1\n",
    "machine.txt": b"2 2\n0 3 2 2\n1 4 0 1\n",
    "fewer.txt": b"3 2\n0 3 1 2\n1 4 0 1\n",
    "more.txt": b"1 2\n0 3 1 2\n1 4 0 1\n",
    "huge.txt": b"1 1\n0 99999999999999999999999\n",
    "broken.json": b'{"machines": [[0]],\n "processing_times": }',
    "list.json": b"[1, 2]",
    "deep.json": b"[" * 100_000,
    "good.txt": GOOD.encode(),
}
SOLVE = ("solve", "job_shop")
BAD = {
    "no_file": ((*SOLVE, "nowhere.txt"), "nowhere.txt"),
    "no_folder": ((*SOLVE, "."), "a folder"),
    "empty": ((*SOLVE, "empty.txt"), "empty.txt: empty file"),
    "binary": ((*SOLVE, "binary.txt"), "binary.txt: not text"),
    "zero_byte": ((*SOLVE, "zero.txt"), "zero.txt: not text"),
    "no_number": ((*SOLVE, "words.txt"), "words.txt, line 2: 'x', expected an integer"),
    "missing_number": ((*SOLVE, "missing.txt"), "missing.txt, line 2: 3 numbers, expected 4"),
    "extra_number": ((*SOLVE, "extra.txt"), "extra.txt, line 2: 6 numbers, expected 4"),
    "negative_time": ((*SOLVE, "negative.txt"), "negative.txt, line 2: processing time -2"),
    "machine_range": ((*SOLVE, "machine.txt"), "machine.txt, line 2: machine 2, expected 0..1"),
    "too_few_jobs": ((*SOLVE, "fewer.txt"), "fewer.txt: 2 lines of operations, expected 3"),
    "too_many_jobs": ((*SOLVE, "more.txt"), "more.txt: 2 lines of operations, expected 1"),
    "huge_number": ((*SOLVE, "huge.txt"), "expected"),
    "broken_json": ((*SOLVE, "broken.json"), "broken.json, line 2"),
    "list_json": ((*SOLVE, "list.json"), "list.json: list, expected an object"),
    "family": (("solve", "no_shop", "ft06"), "unknown family 'no_shop', expected one of: job_shop"),
    "instance": ((*SOLVE, "ft07"), "unknown job_shop instance 'ft07' (close: "),
    "generator": ((*SOLVE, "uniform-0x5"), "0"),
    "solver": ((*SOLVE, "ft06", "--solver", "cpsat"), "unknown solver 'cpsat' for job_shop"),
    "solver_file": ((*SOLVE, "ft06", "--solver", "no.py:f"), "no file 'no.py'"),
    "solver_function": ((*SOLVE, "ft06", "--solver", "user.py:f"), "no function 'f'"),
    "solver_fails": ((*SOLVE, "ft06", "--solver", "user.py:fails"), "TypeError: two lines"),
    "rule_file": ((*SOLVE, "ft06", "--rule", "no.py:f"), "no file 'no.py'"),
    "option": (
        (*SOLVE, "ft06", "--solver", "user.py:mine", "--option", "x=1"),
        "unknown option 'x', expected some of: order",
    ),
    "option_form": ((*SOLVE, "ft06", "--option", "x"), "--option 'x': expected KEY=VALUE"),
    "option_reserved": ((*SOLVE, "ft06", "--option", "seed=1"), "'seed' is no option"),
    "set_form": ((*SOLVE, "ft06", "--set", "cv"), "--set 'cv': expected KEY=VALUE"),
    "set_no_key": ((*SOLVE, "ft06", "--set", "=1"), "--set '=1': expected KEY=VALUE"),
    "set_unknown": ((*SOLVE, "ft06", "--set", "speed=2"), "unknown option 'speed'"),
    "set_generator": ((*SOLVE, "uniform-3x3", "--set", "num_jobs=2"), "num_jobs"),
    "set_kind": ((*SOLVE, "ft06", "--set", "cv=high"), "cv 'high', expected a number"),
    "option_kind": ((*SOLVE, "ft06", "--solver", "spt", "--option", "noise=abc"), "'abc'"),
    "option_kind_of_cp_sat": ((*SOLVE, "ft06", "--option", "workers=abc"), "'abc'"),
    "option_fraction": (
        (*SOLVE, "ft06", "--option", "workers=1.5"),
        "cp_sat with the options {'workers': 1.5}: ",
    ),
    "option_no_mapping": (
        (*SOLVE, "ft06", "--option", "parameters=3"),
        "cp_sat with the options {'parameters': 3}: ",
    ),
    "option_kind_of_simulator": (
        (*SOLVE, "ft06", "--solver", "spt", "--option", "schedule=delta", "--option", "delta=abc"),
        "spt with the options {'schedule': 'delta', 'delta': 'abc'}: ",
    ),
    "option_deep": (
        (*SOLVE, "ft06", "--option", f"workers={'[' * 10_000}"),
        "--option workers: nested too deeply",
    ),
    "generator_size": ((*SOLVE, "uniform-20"), "uniform-20: "),
    "deep_json": ((*SOLVE, "deep.json"), "deep.json: nested too deeply"),
    "check_deep_json": (("check", "job_shop", "ft06", "deep.json"), "deep.json: nested too deeply"),
    "compare_deep_json": (
        ("compare", "job_shop", "--instances", "deep.json", "--solvers", "spt"),
        "nested too deeply",
    ),
    "score_as_solver": (
        (*SOLVE, "ft06", "--solver", "user.py:score"),
        "(if it is a score over columns: --rule user.py:score)",
    ),
    "generator_option": (
        ("compare", "job_shop", "--instances", "uniform-3x3", "--set", "foo=1", "--solvers", "spt"),
        "foo",
    ),
    "time_limit": ((*SOLVE, "ft06", "--time-limit", "0"), "time limit 0"),
    "time_limit_word": ((*SOLVE, "ft06", "--time-limit", "soon"), "'soon'"),
    "seed_word": ((*SOLVE, "ft06", "--seed", "one"), "'one'"),
    "seed_negative": (
        (*SOLVE, "ft06", "--solver", "mwkr", "--seed", "-1"),
        "seed -1, expected >= 0",
    ),
    "flag": ((*SOLVE, "ft06", "--jsn"), "--jsn"),
    "command": (("slove", "job_shop", "ft06"), "slove"),
    "argument": (("solve", "job_shop"), "INSTANCE"),
    "out_folder": ((*SOLVE, "good.txt", "--out", "no/s.json"), "no/s.json: no folder 'no'"),
    "out_is_folder": ((*SOLVE, "good.txt", "--out", "."), "a folder, expected a file name"),
    "out_below_file": ((*SOLVE, "good.txt", "--out", "good.txt/s.json"), "no folder 'good.txt'"),
    "check_no_file": (("check", "job_shop", "ft06", "s.json"), "s.json: No such file"),
    "check_empty": (("check", "job_shop", "ft06", "empty.txt"), "empty.txt: empty file"),
    "check_no_json": (("check", "job_shop", "ft06", "good.txt"), "good.txt, line 1"),
    "check_list": (("check", "job_shop", "ft06", "list.json"), "list.json: list, expected"),
    "show_suffix": (("show", "job_shop", "ft06", "--out", "x.gif"), "expected .html or .png"),
    "show_no_suffix": (("show", "job_shop", "ft06", "--out", "x"), "expected .html or .png"),
    "show_out": (("show", "job_shop", "ft06", "--out", "no/x.png"), "no folder 'no'"),
    "compare_family": (
        ("compare", "no_shop", "--instances", "a", "--solvers", "spt"),
        "unknown family 'no_shop'",
    ),
    "compare_no_instances": (("compare", "job_shop", "--solvers", "spt"), "--instances"),
    "compare_no_match": (
        ("compare", "job_shop", "--instances", "zz*", "--solvers", "spt", "--out", "r"),
        "'zz*': matches no job_shop instance",
    ),
    "compare_no_solvers": (
        ("compare", "job_shop", "--instances", "ft06", "--out", "r"),
        "no solvers",
    ),
    "compare_solver": (
        ("compare", "job_shop", "--instances", "ft06", "--solvers", "spd", "--out", "r"),
        "unknown solver 'spd'",
    ),
    "compare_file": (
        ("compare", "job_shop", "--instances", "ft06,words.txt", "--solvers", "spt", "--out", "r"),
        "words.txt, line 2",
    ),
    "compare_executor": (
        ("compare", "job_shop", "--instances", "ft06", "--solvers", "spt", "--executor", "cloud"),
        "unknown executor 'cloud'",
    ),
    "compare_option": (
        ("compare", "job_shop", "--instances", "ft06", "--solvers", "spt", "--option", "x=1"),
        "expected SOLVER.KEY=VALUE",
    ),
    "compare_seeds": (
        ("compare", "job_shop", "--instances", "ft06", "--solvers", "spt", "--seeds", "0"),
        "seeds 0",
    ),
    "compare_out": (
        ("compare", "job_shop", "--instances", "ft06", "--solvers", "spt", "--out", "good.txt"),
        "good.txt: a file, expected a folder",
    ),
    "compare_out_below": (
        ("compare", "job_shop", "--instances", "ft06", "--solvers", "spt", "--out", "good.txt/r"),
        "good.txt/r",
    ),
    "list_family": (("list", "no_shop"), "unknown family 'no_shop'"),
    "data_pattern": (("data", "fetch", "zz*"), "'zz*': matches no file of the manifest"),
    "data_import": (("data", "import", "good.txt", "binary.txt"), "2 files, none of the manifest"),
    "data_no_file": (("data", "import", "nowhere"), "nowhere: No such file"),
    "data_command": (("data", "push"), "push"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(run, folder, case):
    arguments, message = BAD[case]
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    lines = err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("gapgym: ")
    assert message in lines[0]
    after = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}
    assert {p: t for p, t in after.items() if "__pycache__" not in p.parts} == before
    assert not [p for p in folder.iterdir() if p.is_dir() and p.name != "__pycache__"]


def test_a_full_disk_is_one_line(run, monkeypatch, folder):
    from gapgym.instances import text

    def full(*_):
        raise OSError(28, "No space left on device", "s.json")

    monkeypatch.setattr(text, "write_bytes", full)
    code, _, err = run("show", "job_shop", "ft06", "--solver", "user.py:mine", "--out", "x.png")
    assert code == 2
    assert err.splitlines()[-1] == "gapgym: s.json: No space left on device."


# As processes.


def start(*arguments):
    script = "from gapgym.experiments.cli import main; main()"
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def test_ctrl_c_in_solve_gives_the_best_so_far(folder):
    process = start("solve", "job_shop", "ft06", "--solver", "user.py:patient", "--json")
    while "waiting" not in process.stderr.readline():
        assert process.poll() is None
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert strict_json(out)["objective"] == 197


def test_the_command_ends_with_the_exit_code(folder):
    process = start("solve", "job_shop", "nowhere.txt")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, len(err.splitlines())) == (2, "", 1)


def test_a_closed_pipe_is_no_traceback(folder):
    process = start("data", "list")
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=60), err) == (1, "")


def test_help_imports_nothing_heavy(folder):
    script = (
        "import sys; from gapgym.experiments import cli; cli.run(['--help']);"
        "heavy = {'torch', 'ortools', 'pandas', 'plotly', 'matplotlib', 'numba'};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
