"""requirements.lock: exact versions with hashes, no addresses: pytest tests/test_lock_file.py"""

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCK = (ROOT / "requirements.lock").read_text()
# "name[extra, other]==1.2 ; marker \" and then its hashes, one a line
ENTRIES = re.findall(r"(?m)^([\w.\-\[\], ]+)==([^\s;\\]+)([^\n]*\n(?:    --hash[^\n]*\n)*)", LOCK)


def test_no_address_in_it() -> None:
    assert "://" not in LOCK
    assert not re.search(r"(?m)^-", LOCK), "an option of pip, such as where to look for packages"
    assert " @ " not in LOCK, "a package by its address"


def test_every_package_has_a_version_and_a_hash() -> None:
    names = [line for line in LOCK.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(ENTRIES) == len(names) > 100
    assert [name for name, _, rest in ENTRIES if "--hash=sha256:" not in rest] == []


def test_everything_the_project_asks_for_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    locked: dict[str, set[str]] = {}
    for name, version, _ in ENTRIES:
        locked.setdefault(name.split("[")[0].lower().replace("_", "-"), set()).add(version)
    for requirement in asked:
        name = re.split(r"[\[=<>~!; ]", requirement, maxsplit=1)[0].lower().replace("_", "-")
        assert name in locked, f"{name} is not in requirements.lock; run: make lock"
        exact = re.search(r"==([\d.]+)", requirement.split(";")[0])
        assert exact is None or locked[name] == {exact[1]}, requirement


def test_it_is_the_whole_environment() -> None:
    """`make setup` installs the lock alone, so whatever a locked package needs, with its extras, must be in it, and fit."""
    locked = {canonicalize_name(name.split("[")[0]) for name, _, _ in ENTRIES}
    waiting = [Requirement("mmldm[dev]")]
    seen: set[tuple[str, str]] = set()
    while waiting:
        needed = waiting.pop()
        for extra in ("", *needed.extras):
            if (needed.name, extra) in seen:
                continue
            seen.add((needed.name, extra))
            for requirement in map(Requirement, distribution(needed.name).requires or []):
                if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                    name = canonicalize_name(requirement.name)
                    assert name in locked, f"{needed.name} needs {requirement}, which is not in requirements.lock; run: make lock"
                    version = distribution(name).version
                    assert requirement.specifier.contains(version, prereleases=True), f"{needed.name} needs {requirement}, not {version}"
                    waiting.append(requirement)
    assert len({name for name, _ in seen}) > 100


def test_the_graphics_trio_is_of_one_release() -> None:
    versions = {name: version for name, version, _ in ENTRIES}
    assert (versions["torch"], versions["torchaudio"], versions["torchvision"]) == ("2.11.0", "2.11.0", "0.26.0")
