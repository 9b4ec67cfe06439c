"""How a piece of a stage's output was made, as a hash: the code that makes it, its settings, the libraries' versions.

A stage that takes finished pieces over from its last output (shard_writer.py) knows them by this hash and by what went in. So
an edit of anything that the making code imports, of a setting or of a library's version makes every piece anew, and an edit
of other code none.
"""

import ast
import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from pipeline.contracts.outputs import hash_file, versions
from pipeline.params_reader import to_values

ROOT = Path(__file__).parents[2]
OURS = ("pipeline", "stages")
DECIDE_NO_BYTE = ("pipeline.errors", "pipeline.params", "pipeline.progress", "pipeline.quiet")
"""Modules (and those whose names begin so) that word messages or carry settings, which are hashed by value."""


def recipe(module: str, params: Mapping[str, object]) -> str:
    """Hash (hexadecimal) of all but the input.

    Args:
        module: that makes the pieces, such as "stages.decode.clip_reader"; with it counts every module of the project that it imports.
        params: the settings that decide what it makes (dataclasses or plain values), by name.
    """
    code = {path.relative_to(ROOT).as_posix(): hash_file(path) for path in sorted(source_files(module))}
    settings = {name: to_values(section) for name, section in params.items()}
    return hashlib.sha256(json.dumps([code, settings, versions()], sort_keys=True).encode()).hexdigest()


def address(made_by: str, *made_from: object) -> bytes:
    """16 bytes that name a piece's content: its recipe and what went in (values that JSON can write)."""
    return hashlib.sha256(json.dumps([made_by, *made_from], sort_keys=True).encode()).digest()[:16]


@cache
def source_files(module: str) -> frozenset[Path]:
    """The file of a module of this project, and those of all that it imports, directly or not."""
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _file(name)
        if name in found or path is None or name.startswith(DECIDE_NO_BYTE):
            continue
        found[name] = path
        waiting += _imports(path)
    assert found, f"no module {module} under {ROOT}"
    return frozenset(found.values())


def _file(module: str) -> Path | None:
    if module.split(".")[0] not in OURS:
        return None
    path = ROOT / module.replace(".", "/")
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _imports(path: Path) -> Iterator[str]:
    """Absolute names; of `from a import b` both a.b and a, as b may be a module or a name in a."""
    for node in _run(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from modules
            if any(_file(name) is None for name in modules):
                yield node.module


def _run(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those under `if TYPE_CHECKING:`, which never run."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from _run(node)
