"""The two commands of the README and what they tell the tools: pytest tests/test_makefile.py"""

import os
import re
import subprocess
from pathlib import Path

from pipeline.quiet import SETTINGS

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()


def test_tools_are_silenced_as_in_quiet_py() -> None:
    exported = dict(re.findall(r"(?m)^export (\w+) := (.*)$", MAKEFILE))
    assert exported and exported.items() <= SETTINGS.items()


def test_continuous_integration_runs_the_readmes_test_command() -> None:
    assert "exec make test" in (ROOT / ".ci/run").read_text()
    assert os.access(ROOT / ".ci/run", os.X_OK)
    readme = (ROOT / "README.md").read_text()
    assert "make repro" in readme and "make test" in readme


def test_an_unsupported_python_is_refused_in_one_line(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    old = tmp_path / "old-python"
    old.write_text('#!/bin/sh\nif [ "$1" = --version ]; then echo "Python 3.9.2"; else exit 1; fi\n')
    old.chmod(0o755)
    done = subprocess.run(["make", "repro", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert f"setup: {old} is Python 3.9.2, expected Python 3.11 to 3.13" in done.stderr.splitlines()[0]
    assert not (tmp_path / ".venv").exists()
