"""A throw-away project: params and data folders of its own, the stages of this one."""

import shutil
import sys
from pathlib import Path

import yaml

from tests.benchmarks.process_tree import Usage, measure

PRESET = Path(__file__).parents[2] / "pipeline" / "presets" / "demo.yaml"


class Project:
    """Stages run as a person types them, `python -m stages.<name>`, with the demo's params but for some."""

    def __init__(self, folder: Path, clips: Path, **changed: dict[str, object]) -> None:
        """Args:
            folder: of the project; made.
            clips: `data.raw`.
            changed: fields to change, by section: `clip={"frame_size_px": 256}`.
        """
        self.folder, self.clips = folder, clips
        params = yaml.safe_load(PRESET.read_text())
        params["data"]["raw"] = str(clips)
        for section, fields in changed.items():
            params[section] |= fields
        folder.mkdir(parents=True)
        (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))

    def stage(self, name: str, memory: bool = False) -> Usage:
        """Run one stage to its end."""
        return measure([sys.executable, "-m", f"stages.{name}"], self.folder, memory)

    def output(self, name: str) -> Path:
        """A stage's output folder."""
        return self.folder / "data" / name

    def forget(self, name: str) -> None:
        """Remove a stage's output, so that its next run begins with nothing."""
        shutil.rmtree(self.output(name), ignore_errors=True)
