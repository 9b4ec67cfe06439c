"""Isolated copies of the project in `.retrain/`: git worktrees of a commit that share DVC's cache with the user's tree.

They stay from one cycle to the next, so that new data costs its own size here too, and a killed stage finds its checkpoints.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml
from dvc.config import Config, merge

from pipeline.check import is_whole_lock
from pipeline.contracts.outputs import write_text
from pipeline.damage import remove_damaged
from pipeline.dvc_locks import release_dead_locks
from pipeline.dvc_tool import cache_folder, dvc_command, dvc_environment
from pipeline.errors import RunError
from pipeline.git_tool import file_at, git
from pipeline.retrain.owned_process import end_orphans, run_owned

HOME = Path(".retrain")
LOCK = "dvc.lock"


class Workspace:
    """One copy, `.retrain/<name>`."""

    def __init__(self, root: Path, name: str) -> None:
        """Args:
            root: the user's project.
            name: of the copy's folder.
        """
        self.root, self.name = root.resolve(), name
        self.folder = self.root / HOME / name

    def hold(self, commit: str, files: Mapping[str, str]) -> None:
        """Make the copy hold the code of a commit, with some files replaced; what its stages have written stays.

        Args:
            commit: of the user's repository.
            files: text by path. Without dvc.lock among them, the copy's own stays when all else is as it is to be.

        Raises:
            RunError: git or the disk fail.
        """
        end_orphans(self.folder)
        if not self._is_at(commit) or any(self._text(path) != text for path, text in files.items() if path != LOCK):
            self._check_out(commit)
        for path, text in files.items():
            if self._text(path) != text:
                write_text(self.folder / path, text)
        if not is_whole_lock(self.folder / LOCK):  # cut off by a kill
            restored = file_at(self.root, commit, LOCK)
            (self.folder / LOCK).unlink()
            if restored is not None:
                write_text(self.folder / LOCK, restored)
        self._write_dvc_config()
        release_dead_locks(self.folder)
        remove_damaged(self.folder)

    def fill(self) -> None:
        """Bring the outputs that dvc.lock names and this copy has none of, as far as the cache has them, so that their stages can go on
        from them."""
        locked = yaml.safe_load(self.text(LOCK)).get("stages", {}) if (self.folder / LOCK).exists() else {}
        absent = [name for name, stage in locked.items() if any(not (self.folder / out["path"]).exists() for out in stage.get("outs", []))]
        if absent:
            self.dvc("checkout", "--force", "--allow-missing", *absent)

    def dvc(self, *arguments: str) -> None:
        """Run a DVC command here; what `repro` and its stages say goes on to this process's stderr.

        Raises:
            RunError: it failed; its last error line.
        """
        run_owned(dvc_command(*arguments), self.folder, dvc_environment(), f"dvc {arguments[0]}", shown=arguments[0] == "repro")

    def check_out_data(self, *targets: str) -> None:
        """Put what dvc.lock and the .dvc files say in its place: from the cache, or from the remote where the cache has not got it.

        Args:
            targets: stages and .dvc files.

        Raises:
            RunError: neither has it.
        """
        try:
            self.dvc("checkout", "--force", *targets)
        except RunError as error:
            if default_remote(self.root) is None:
                raise RunError(f"{error} (and there is no DVC remote to fetch it from)") from None
            self.dvc("pull", "--force", *targets)

    def text(self, path: str) -> str:
        """A file's text."""
        return (self.folder / path).read_text(encoding="utf-8")

    def _text(self, path: str) -> str | None:
        try:
            return self.text(path)
        except FileNotFoundError:
            return None

    def _is_at(self, commit: str) -> bool:
        try:
            top = git(self.folder, "rev-parse", "--show-toplevel", "HEAD").splitlines() if self.folder.is_dir() else []
        except RunError:
            return False
        # Without a .git of its own the answer would be the user's tree around it.
        return top == [str(self.folder), commit]

    def _check_out(self, commit: str) -> None:
        try:
            own = self.folder.is_dir() and git(self.folder, "rev-parse", "--show-toplevel") == str(self.folder)
        except RunError:
            own = False
        if own:
            for lock in Path(git(self.folder, "rev-parse", "--absolute-git-dir")).glob("*.lock"):  # of a killed git; nobody else is here
                lock.unlink()
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
            git(self.root, "worktree", "prune")
            self.folder.parent.mkdir(exist_ok=True)
            git(self.root, "worktree", "add", "--force", "--detach", "--no-checkout", str(self.folder), commit)
        git(self.folder, "checkout", "--force", "--detach", commit)

    def _write_dvc_config(self) -> None:
        """DVC's settings of the user's tree as they are now (relative paths would lead elsewhere from here), and its cache."""
        users = Config(str(self.root / ".dvc"), validate=False)
        path = self.folder / ".dvc/config.local"
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)  # a remote's password may be in it
        with Config(str(self.folder / ".dvc"), validate=False).edit("local", validate=False) as own:
            merge(own, users.read("repo"))
            merge(own, users.read("local"))
            own["cache"]["dir"] = str(cache_folder(self.root))


def default_remote(root: Path) -> str | None:
    """Name of the DVC remote that data goes to when none is named; None: there is none."""
    return Config(str(root / ".dvc"), validate=False).get("core", {}).get("remote")
