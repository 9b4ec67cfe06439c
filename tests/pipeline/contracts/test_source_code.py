"""What code a piece is made by: pytest tests/pipeline/contracts/test_source_code.py"""

from pathlib import Path

import pytest

from pipeline.contracts import source_code
from pipeline.contracts.recipe import recipe
from pipeline.contracts.source_code import code_hash


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """stages/maker.py imports stages/part.py at once and pipeline/late.py inside a function, stages/hint.py for its types alone."""
    monkeypatch.setattr(source_code, "ROOT", tmp_path)
    for name, text in {
        "stages/maker.py": "from typing import TYPE_CHECKING\nfrom stages.part import x\nif TYPE_CHECKING:\n    import stages.hint\n"
                           "def f():\n    import pipeline.late\n",
        "stages/part.py": "x = 1\n", "stages/hint.py": "", "stages/other.py": "", "pipeline/late.py": "from pipeline.errors import E\n",
        "pipeline/errors.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    source_code._imported.cache_clear()
    return tmp_path


@pytest.mark.parametrize(("edited", "counts"), [
    ("stages/maker.py", True), ("stages/part.py", True), ("pipeline/late.py", True),
    ("stages/hint.py", False), ("stages/other.py", False), ("pipeline/errors.py", False),
])
def test_an_edit_counts_where_the_code_is_run(edited: str, counts: bool, project: Path) -> None:
    before = code_hash([project / "stages/maker.py"])
    with (project / edited).open("a") as file:
        file.write("y = 2\n")
    assert (code_hash([project / "stages/maker.py"]) != before) == counts


def test_the_recipe_follows_settings_by_value() -> None:
    assert recipe("stages.decode.tasks", {"size": 64}) == recipe("stages.decode.tasks", {"size": 64})
    assert recipe("stages.decode.tasks", {"size": 64}) != recipe("stages.decode.tasks", {"size": 65})
