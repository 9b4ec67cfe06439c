"""Checkpoints of sharded and whole trainings stand for each other: pytest tests/pipeline/test_sharding.py"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.pipeline.test_training import PARAMS, PowerCut, run

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
from pathlib import Path
import torch
from pipeline.processes import join, rank
from tests.pipeline.test_training import PowerCut, run

folder = Path(sys.argv[1])
join("cpu")
try:
    run(folder / "begun_sharded", cut_at=8)
except PowerCut:
    pass
trained, _ = run(folder / "begun_whole")
if rank() == 0:
    torch.save(trained.state_dict(), folder / "trained.pt")
"""


@pytest.mark.slow
def test_a_training_goes_on_sharded_or_whole(tmp_path: Path) -> None:
    undisturbed, _ = run(tmp_path / "undisturbed")
    with pytest.raises(PowerCut):
        run(tmp_path / "begun_whole", cut_at=8)
    (tmp_path / "script.py").write_text(SCRIPT)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_FSDP": "true"}
    done = subprocess.run([*launcher, str(tmp_path / "script.py"), str(tmp_path)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("each with its share of the weights") == 2 and "goes on at step 5" in done.stderr
    went_on_whole, _ = run(tmp_path / "begun_sharded")
    expected = undisturbed.state_dict()
    for found in (torch.load(tmp_path / "trained.pt", weights_only=True), went_on_whole.state_dict()):
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5, msg=name)
    assert PARAMS.checkpoint_every == 5
