"""Pages that are made of the library itself: one per environment, the solvers, the reference."""

from __future__ import annotations

import inspect
import re
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

#: What the reference shows, by page.
_REFERENCE = {
    "front door": ("gapgym",),
    "instances": ("gapgym.instances.core", "gapgym.instances.registry"),
    "envs": ("gapgym.envs.simulator", "gapgym.envs.env", "gapgym.envs.vector"),
    "baselines": ("gapgym.baselines.solver", "gapgym.baselines.rules"),
    "agents": (
        "gapgym.agents.policy",
        "gapgym.agents.training",
        "gapgym.agents.search",
        "gapgym.agents.sb3",
        "gapgym.agents.regret",
    ),
    "experiments": ("gapgym.experiments.compare", "gapgym.experiments.stats"),
}


#: References as Sphinx writes them, which these pages show as code.
_ROLE = re.compile(r":(?:func|class|meth|mod|data|attr):(?=`|<code)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Set the navigation, which grows with the registries."""
    from gapgym.envs import ENVIRONMENTS

    environments: list[Any] = [
        {env_id: f"environments/{environment.stem}.md"}
        for env_id, environment in ENVIRONMENTS.items()
    ]
    reference: list[Any] = [{name: f"reference/{_file(name)}"} for name in _REFERENCE]
    config.nav = [
        {"Start": "index.md"},
        {"Environments": environments},
        {"Solvers": "solvers.md"},
        {"Studies": "studies.md"},
        {"Policies": "policies.md"},
        {"Beside other libraries": "comparison.md"},
        {"Reference": reference},
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    from gapgym.envs import ENVIRONMENTS

    for env_id, environment in ENVIRONMENTS.items():
        text = _environment(env_id, environment.module, environment.stem)
        files.append(File.generated(config, f"environments/{environment.stem}.md", content=text))
    for name, modules in _REFERENCE.items():
        parts = [f"# {name}\n", *(f"::: {module}\n" for module in modules)]
        path = f"reference/{_file(name)}"
        files.append(File.generated(config, path, content="\n".join(parts)))
    files.append(File.generated(config, "solvers.md", content=_solvers()))
    return files


def on_page_content(html: str, **_: Any) -> str:
    """Leave out the roles of references."""
    return _ROLE.sub("", html)


def _file(name: str) -> str:
    return f"{name.replace(' ', '_')}.md"


def _environment(env_id: str, module: str, stem: str) -> str:
    """The page of an environment: what its module and its class say."""
    import importlib

    found = importlib.import_module(f"gapgym.envs.{module}")
    about = inspect.cleandoc(found.__doc__ or "")
    docstring = inspect.getdoc(getattr(found, f"{stem}Env")) or ""
    return f"# {env_id}\n\n{docstring}\n\n## How it works\n\n{about}\n"


def _solvers() -> str:
    """The solvers of every problem, with the first lines of their docstrings."""
    from gapgym.agents.solvers import solvers
    from gapgym.baselines.registry import rules
    from gapgym.instances import FAMILIES

    parts = [
        "# Solvers\n",
        "All take `time_limit`, `seed` and `start`; see `gapgym solve --help`.\n",
    ]
    for module in FAMILIES.values():
        for problem in module.PROBLEMS:
            parts += [f"## {problem}\n", "| name | what it is |", "|---|---|"]
            scores = rules(problem)
            for name, solver in solvers(problem).items():
                told = scores[name].score if name in scores else solver
                line = (inspect.getdoc(told) or "").partition("\n")[0]
                line = _ROLE.sub("", line).replace("|", "\\|")
                parts.append(f"| `{name}` | {line} |")
            parts.append("")
    return "\n".join(parts)
