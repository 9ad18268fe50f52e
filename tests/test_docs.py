"""The documentation is built without a warning, and grows with the registries."""

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gapgym.agents.solvers import solvers
from gapgym.envs import ENVIRONMENTS
from gapgym.instances import FAMILIES

ROOT = Path(__file__).parent.parent


class Text(HTMLParser):
    """The text of a page, and what it loads."""

    def __init__(self):
        super().__init__()
        self.text, self.loaded = [], []

    def handle_data(self, data):
        self.text.append(data)

    def handle_starttag(self, tag, attributes):
        if tag in ("script", "link", "img"):
            given = dict(attributes)
            self.loaded += [given[name] for name in ("src", "href") if given.get(name)]


def page(path):
    parser = Text()
    parser.feed(path.read_text())
    return " ".join(parser.text), parser.loaded


@pytest.mark.slow
def test_the_pages_are_built_and_name_everything(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    for env_id, env in ENVIRONMENTS.items():
        text, _ = page(tmp_path / "environments" / env.stem / "index.html")
        assert env_id in text
        for section in ("Action Space", "Observation Space", "Rewards", "Episode End"):
            assert section in text, (env_id, section)
    text, _ = page(tmp_path / "solvers" / "index.html")
    words = set(text.split())
    for module in FAMILIES.values():
        for problem in module.PROBLEMS:
            assert set(solvers(problem)) <= words
    for path in tmp_path.rglob("index.html"):
        text, loaded = page(path)
        assert ":func:" not in text
        assert not [link for link in loaded if "://" in link], path
