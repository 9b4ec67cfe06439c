"""How git is called: its own command, without questions, a failure in one line."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import RunError

AUTHOR = {"GIT_AUTHOR_NAME": "mmldm", "GIT_AUTHOR_EMAIL": "mmldm@localhost", "GIT_COMMITTER_NAME": "mmldm",
          "GIT_COMMITTER_EMAIL": "mmldm@localhost"}
"""Of the commits that a flow makes; a machine that trains by night needs no user.name."""


def git(root: Path, *arguments: str, environment: Mapping[str, str] | None = None, given: str | None = None) -> str:
    """What a git command prints, without the last line break.

    Args:
        root: where it runs.
        environment: variables on top of this process's own.
        given: its standard input.

    Raises:
        RunError: git is not there, or it failed; its own first line.
    """
    # A hook or an outer git may have set these, and they would lead every command to its repository.
    own = {name: value for name, value in os.environ.items() if name not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")}
    try:
        # The user's hooks are for the user's own commits and checkouts (`dvc install` sets some).
        done = subprocess.run(["git", "-c", f"core.hooksPath={os.devnull}", *arguments], cwd=root, capture_output=True, text=True,
                              env={**own, "GIT_TERMINAL_PROMPT": "0", **(environment or {})}, input="" if given is None else given)
    except FileNotFoundError:
        raise RunError("git is not installed, which DVC and the retrain flow need; install it with your system's packages") from None
    if done.returncode != 0:
        said = [line.removeprefix("fatal: ").removeprefix("error: ") for line in done.stderr.splitlines() if line.strip()]
        raise RunError(f"git {arguments[0]} failed: {said[0] if said else f'exit code {done.returncode}'}; run: git status")
    return done.stdout.removesuffix("\n")


def require_clean_commit(root: Path, command: str) -> str:
    """The commit that the user's tree holds, all of it.

    Args:
        command: what asks, for the error text.

    Raises:
        RunError: no git repository, no commit yet, or edits that are not committed.
    """
    if not (root / ".git").exists():
        raise RunError("this folder is no git repository, which DVC needs; run: git init && git add -A && git commit -m start")
    try:
        head = git(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    except RunError:
        raise RunError("git has no commit here yet; run: git add -A && git commit -m start") from None
    changed = git(root, "status", "--porcelain", "--untracked-files=no", "-z").split("\0")[:-1]
    if changed:
        names = [entry[3:] for entry in changed]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise RunError(f"{', '.join(names[:3])}{more} changed since the last commit, and {command} works from commits; commit or stash it, "
                       f"then run: mmldm {command}")
    return head


def file_at(root: Path, commit: str, path: str) -> str | None:
    """A file's text in a commit; None: it is not in there."""
    try:
        return git(root, "show", f"{commit}:{path}") + "\n"
    except RunError:
        return None


def commit_files(root: Path, base: str, files: Mapping[str, str], message: str, scratch: Path) -> str:
    """A commit on top of `base` with some files replaced, which no branch holds yet; made twice it is the same one.

    Args:
        root: the repository.
        base: commit, whose date the new one gets.
        files: text by path.
        message: of the commit.
        scratch: path for an index of its own, so that the user's is not touched.

    Returns:
        Its hash.
    """
    scratch.unlink(missing_ok=True)
    scratch.with_name(f"{scratch.name}.lock").unlink(missing_ok=True)  # of a killed run
    index = {"GIT_INDEX_FILE": str(scratch.resolve())}
    git(root, "read-tree", base, environment=index)
    for path, text in sorted(files.items()):
        blob = git(root, "hash-object", "-w", "--stdin", given=text)
        git(root, "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", environment=index)
    tree = git(root, "write-tree", environment=index)
    scratch.unlink(missing_ok=True)
    date = git(root, "show", "--no-patch", "--format=%ct +0000", base)
    return git(root, "commit-tree", tree, "-p", base, "-m", message,
               environment={**AUTHOR, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date})
