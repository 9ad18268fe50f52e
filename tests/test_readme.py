"""What the README shows is what happens."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import gapgym

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language):
    """The fenced blocks of a language, in order."""
    parts = README.split("```")[1::2]
    found = (part.partition("\n") for part in parts)
    return [text for name, _, text in found if name == language]


def test_the_twelve_lines_run(capsys):
    exec(blocks("python")[0], {})
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\d+ \d+\.\d% above the best known makespan", first)
    assert second == "1486 by a good rule"


def test_the_rule_is_a_rule(tmp_path):
    file = tmp_path / "my_rule.py"
    file.write_text(blocks("python")[1])
    frame = gapgym.compare("job_shop", "ft06,la01", (), rules=f"{file}:score")
    assert frame["status"].tolist() == ["feasible", "feasible"]


@pytest.mark.slow
def test_the_commands_run(tmp_path):
    (block,) = [text for text in blocks("") if "my_shop.txt" in text]
    (tmp_path / "my_shop.txt").write_text("2 2\n0 3 1 2\n1 2 0 4\n")
    (tmp_path / "my_rule.py").write_text(blocks("python")[1])
    for line in block.strip().splitlines():
        words = shlex.split(line.replace("la*", "la0[12]"))
        assert words[0] == "gapgym"
        command = [str(Path(sys.executable).parent / "gapgym"), *words[1:]]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    for name in ("schedule.json", "schedule.html", "results/la/report.html"):
        assert (tmp_path / name).stat().st_size > 0


@pytest.mark.slow
def test_the_script_for_stable_baselines_learns():
    script = blocks("python")[2].replace("1_000_000", "64").replace("10x10", "4x3")
    script = script.replace("gamma=1.0", "gamma=1.0, n_steps=4, n_epochs=1, batch_size=64")
    names = {}
    exec(script, names)
    assert names["model"].num_timesteps >= 64


def test_the_study_is_a_study(tmp_path):
    from gapgym.experiments import spec

    (tmp_path / "my_study.toml").write_text(blocks("toml")[0])
    (tmp_path / "my_rule.py").write_text(blocks("python")[1])
    cells = spec.read(tmp_path / "my_study.toml").study.cells
    assert len(cells) == (40 + 20) * 4 * 3


def test_pictures_and_links_exist():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_registered_environment_and_family_is_named():
    from gapgym.envs import ENVIRONMENTS

    for env_id in ENVIRONMENTS:
        assert env_id in README


def test_tables_are_those_of_the_studies():
    """Each block ``<!-- study NAME -->`` ... ``<!-- end -->`` stands so in the study's tables."""
    found = re.findall(r"<!-- study (\w+) -->\n(.*?)<!-- end -->", README, flags=re.DOTALL)
    assert found
    for name, block in found:
        tables = (ROOT / "experiments" / "studies" / f"{name}.md").read_text()
        assert block.strip() in tables, name


@pytest.mark.slow
def test_an_engineer_brings_a_chip_a_cluster_and_a_program(tmp_path, monkeypatch, capsys):
    from gapgym.experiments import cli
    from gapgym.instances import memory_mapping, pod_packing, soc_dag

    monkeypatch.chdir(tmp_path)
    soc_dag.write(gapgym.load("soc_dag/layered-8x3-s1"), "workflow.json")
    pod_packing.write(gapgym.load("pod_packing/mixed-4x16-s1"), "cluster.json")
    memory_mapping.write(gapgym.load("memory_mapping/guillotine-20-s1"), "buffers.1024.csv")
    (block,) = [text for text in blocks("") if "cluster.json" in text]
    for line in block.strip().splitlines():
        words = shlex.split(line.rpartition("&& ")[2], comments=True)
        assert words[0] == "gapgym"
        assert cli.run(words[1:]) == 0, capsys.readouterr().err
    assert (tmp_path / "plan.yaml").stat().st_size > 0
