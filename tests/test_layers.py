"""Imports point down only: instances <- {envs, baselines} <- agents <- experiments."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "instances": set(),
    "envs": {"instances"},
    "baselines": {"instances"},
    "agents": {"instances", "envs", "baselines"},
    "experiments": {"instances", "envs", "baselines", "agents"},
}


def imported_folders(path):
    """Sibling folders that a module imports, absolutely or relatively."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 2:
            yield (node.module or node.names[0].name).partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gapgym"):
            yield (node.module or "").split(".")[1] if "." in (node.module or "") else "gapgym"
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("gapgym."))


@pytest.mark.parametrize("folder", ALLOWED)
def test_modules_import_only_from_below(folder):
    for path in (ROOT / folder).glob("*.py"):
        wrong = set(imported_folders(path)) - ALLOWED[folder] - {folder}
        assert not wrong, f"{path.name} imports {wrong}"


@pytest.mark.parametrize("folder", ["agents", "experiments"])
def test_shared_code_names_no_family(folder):
    families = subprocess.run(
        [sys.executable, "-c", "import gapgym; print(*gapgym.instances.FAMILIES)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    for path in (ROOT / folder).glob("*.py"):
        modules = set(imported_modules(path))
        named = {m for m in modules for f in families if m == f or m.startswith(f"{f}_")}
        assert not named, f"{path.name} imports {named}"


def imported_modules(path):
    """Last parts of the names of the modules that a module imports, and the names it takes."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield (node.module or "").rpartition(".")[2]
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name.rpartition(".")[2] for alias in node.names)


HEAVY = ("torch", "ortools", "plotly", "matplotlib", "pandas", "numba", "rich", "typer")


def test_importing_the_front_door_loads_nothing_heavy():
    code = f"""
import sys
import gapgym
instance = gapgym.load("job_shop/ft06")
print([name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_front_door_lists_what_it_offers():
    import gapgym

    for name in gapgym.__all__:
        assert getattr(gapgym, name) is not None
    assert set(gapgym.__all__) <= set(dir(gapgym))
    with pytest.raises(AttributeError, match="no attribute 'solv'"):
        _ = gapgym.solv
