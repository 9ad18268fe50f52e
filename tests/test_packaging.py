"""The wheel holds the tracked files of the package, and works where the checkout is not."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("gapgym", "instances", "envs", "baselines", "agents", "experiments")


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from an export of the tracked files."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    tracked = run("git", "ls-files", "-z", cwd=ROOT).split("\0")[:-1]
    for name in tracked:
        if (ROOT / name).is_file() and not name.startswith(".typing"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source))
    run(sys.executable, *build)
    return next(folder.glob("*.whl")), tracked


@pytest.mark.slow
def test_wheel_holds_exactly_the_tracked_files_of_the_package(wheel):
    path, tracked = wheel
    expected = set()
    for name in tracked:
        folder, _, rest = name.partition("/")
        if folder in FOLDERS and (ROOT / name).is_file():
            expected.add(name if folder == "gapgym" else f"gapgym/{folder}/{rest}")
    with zipfile.ZipFile(path) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == {name for name in expected if is_package_file(name)}


def is_package_file(name):
    return not name.startswith("gapgym/experiments/figures/")


@pytest.mark.slow
def test_installed_wheel_loads_an_instance_an_environment_and_a_solver(wheel, tmp_path):
    """In a fresh environment that sees the dependencies, but not the editable install."""
    venv.create(tmp_path / "clean", with_pip=False)
    python = tmp_path / "clean" / "bin" / "python"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = tmp_path / "clean" / "lib" / version / "site-packages"
    with zipfile.ZipFile(wheel[0]) as archive:
        archive.extractall(site)
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    code = """
import gapgym, gymnasium
instance = gapgym.load("job_shop/ft06")
env = gymnasium.make("gapgym/JobShop-v0", instance="ft06")
env.reset(seed=0)
result = gapgym.solve(instance, "cp_sat", time_limit=60)
print(gapgym.__file__, result.objective, gapgym.__version__)
"""
    file, objective, _ = run(str(python), "-c", code, cwd=tmp_path).split()
    assert Path(file).is_relative_to(site)
    assert objective == "55"


def test_every_folder_with_modules_is_packaged_and_typed():
    import tomllib

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packaged = set(settings["package-dir"].values())
    assert packaged == set(FOLDERS)
    for folder in FOLDERS:
        assert (ROOT / folder / "py.typed").is_file()
        nested = {path.parent for path in (ROOT / folder).rglob("*.py")}
        assert nested == {ROOT / folder}


def test_type_checkers_see_the_layout_of_the_installed_package():
    links = {path.name: path.resolve() for path in (ROOT / ".typing" / "gapgym").iterdir()}
    assert {name: links[name] for name in FOLDERS[1:]} == {
        name: ROOT / name for name in FOLDERS[1:]
    }
    assert links["__init__.py"] == ROOT / "gapgym" / "__init__.py"
