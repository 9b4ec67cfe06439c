"""Which files of the project a piece of it consists of: its own, and those of all that it imports, directly or not."""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = ("pipeline", "stages")
DECIDE_NO_BYTE = ("pipeline.errors", "pipeline.params", "pipeline.progress", "pipeline.quiet")
"""Modules (and those whose names begin so) that word messages or carry settings, which are hashed by value."""


def code_hash(files: Iterable[Path]) -> str:
    """Hash (hexadecimal) of source files and of all of the project that they import."""
    found: set[Path] = set()
    waiting = list(files)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imported(path)
    digest = hashlib.sha256()
    for path in sorted(found):
        name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
        digest.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def source_file(module: str) -> Path:
    """The file of a module of this project."""
    path = _file(module)
    assert path is not None, f"no module {module} under {ROOT}"
    return path


def _file(module: str) -> Path | None:
    if module.split(".")[0] not in OURS:
        return None
    path = ROOT / module.replace(".", "/")
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


@cache
def _imported(path: Path) -> tuple[Path, ...]:
    files = (_file(name) for name in _imports(path) if not name.startswith(DECIDE_NO_BYTE))
    return tuple(file for file in files if file is not None)


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
