"""New data to a new champion, in an isolated copy of the project; every step can be killed and is completed by the next run.

    incoming.py     files that have arrived, and which of them are whole
    workspace.py    the copies in .retrain/: git worktrees that share DVC's cache
    journal.py      which step a cycle has reached
    cycle.py        the steps: take, validate, version, reproduce, contest, decide
    gate.py         champion and challenger: who wins, and why
    registry.py     data/registry.parquet: every model, every decision, who is champion
    publish.py      git tags and the DVC remote, as the registry says

Nothing here writes into the user's tree but data/incoming (emptied), data/incoming_rejected and data/registry.parquet.
"""
