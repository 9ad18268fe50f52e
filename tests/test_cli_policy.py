"""``gapgym train`` and ``gapgym policy``."""

import json
from pathlib import Path

import pytest

from gapgym.agents import checkpoint
from gapgym.experiments import cli

TINY = ("--preset", "tiny", "--instances", "uniform-4x3")


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Runs the command line in a folder; gives exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        code = cli.run([str(argument) for argument in arguments])
        return code, *capfd.readouterr()

    return command


def test_a_policy_is_trained_shown_evaluated_compared_and_used(run):
    code, output, error = run("train", "job_shop", *TINY, "--updates", 3, "--out", "mine")
    assert code == 0, error
    assert output == "policy: mine/best.safetensors\n"
    assert "update 3: validation" in error
    path = Path("mine/best.safetensors")
    assert checkpoint.describe(path)[1]["config"]["updates"] == 3

    code, output, _ = run("policy", "show", path, "--json")
    assert json.loads(output)["config"]["problem"] == "job_shop"
    code, output, _ = run("policy", "show", path)
    assert "columns: " in output
    code, output, error = run("policy", "evaluate", path, "--instances", "la0[1-2]")
    assert code == 0, error
    assert "la01" in output

    code, output, _ = run("solve", "job_shop", "ft06", "--policy", path, "--json")
    assert code == 0
    found = json.loads(output)
    assert found["objective"] >= 55
    code, output, error = run(
        *("compare", "job_shop", "--instances", "ft06", "--policy", path, "--solvers", "spt"),
        *("--out", "out", "--json"),
    )
    assert code == 0, error
    assert {row["solver"] for row in json.loads(output)} == {"spt", str(path)}


def test_another_policy_under_the_same_name_is_another_run(run):
    for seed, folder in ((0, "a"), (1, "b")):
        run("train", "job_shop", *TINY, "--updates", 1, "--seed", seed, "--out", folder)
    keys = set()
    from gapgym.experiments.store import Store

    for folder in ("a", "b"):
        Path("p.safetensors").write_bytes(Path(folder, "best.safetensors").read_bytes())
        code, _, error = run(
            *("compare", "job_shop", "--instances", "ft06", "--policy", "p.safetensors"),
            *("--out", "out"),
        )
        assert code == 0, error
        with Store("out/results.sqlite") as store:
            keys |= {stored.key for stored in store.runs()}
    assert len(keys) == 2


def test_shipped_policies_are_listed(run):
    from gapgym.agents.solvers import WEIGHTS

    code, output, _ = run("policy", "list")
    assert code == 0
    assert len(output.splitlines()) == len(list(WEIGHTS.glob("*.safetensors")))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "job_chop"), "no environment plays the problem 'job_chop'"),
        (("train", "job_shop", "--preset", "huge"), "preset 'huge', expected one of: tiny"),
        (("train", "job_shop", "--method", "luck", *TINY), "method 'luck'"),
        (("train", "job_shop", *TINY, "--set", "colour=1"), "unknown setting 'colour'"),
        (("train", "job_shop", *TINY, "--option", "schedule=odd"), "schedule 'odd'"),
        (("train", "job_shop", "--preset", "tiny", "--instances", "ft06"), "'ft06': no generator"),
        (("policy", "show", "nothing"), "nothing: no such file"),
        (("policy", "evaluate", "cli.py", "--instances", "ft06"), "no such file"),
        (("solve", "job_shop", "ft06", "--policy", "x.safetensors"), "no such file"),
    ],
)
def test_bad_input_is_one_line(run, arguments, message):
    code, output, error = run(*arguments)
    assert (code, output) == (2, "")
    assert error.count("\n") == 1
    assert message in error
