"""Which failures are worth another try: pytest tests/pipeline/flows/test_causes.py"""

import pytest

from pipeline.flows.causes import transient_cause

FAILED = "ERROR: failed to reproduce 'dit': failed to run: python -m stages.dit, exited with {code}"


@pytest.mark.parametrize(("code", "errors"), [
    (255, [FAILED.format(code=-9)]),
    (255, [FAILED.format(code=137)]),
    (137, []),  # DVC itself
    (255, [FAILED.format(code=75)]),
    (255, ["ERROR: failed to reproduce 'dit': 'data/dit' is busy, it is being blocked by:"]),
    (255, ["ERROR: Unable to acquire lock. Most likely another DVC process is running or was terminated abruptly."]),
    (255, ["ERROR: unexpected error - database is locked"]),
])
def test_what_may_pass(code: int, errors: list[str]) -> None:
    assert transient_cause(code, errors)


@pytest.mark.parametrize(("code", "errors"), [
    (255, [FAILED.format(code=1)]),  # a user's mistake, a full disk, a defect
    (255, [FAILED.format(code=2)]),
    (255, [FAILED.format(code=-2)]),  # Ctrl-C
    (255, [FAILED.format(code=-11)]),  # a library crashed
    (255, ["ERROR: failed to reproduce 'dit': missing data 'source': data/latents"]),
    (255, []),
])
def test_what_would_fail_again(code: int, errors: list[str]) -> None:
    assert transient_cause(code, errors) is None
