"""The set as a whole: which clips, where they go, and the check of a user's own folder."""

from collections.abc import Mapping
from pathlib import Path

from pipeline.contracts.events import TABLE, write_events
from pipeline.contracts.outputs import atomic_path, stage_output
from pipeline.errors import DataError
from pipeline.params import DataParams, DemoDataParams
from pipeline.progress import Progress, say
from pipeline.raw_folder import require_class_folders
from pipeline.seeds import derive_seed
from stages.demo_data.mp4 import write_mp4
from stages.demo_data.picture import draw_frames
from stages.demo_data.scene import Scene, draw_scene
from stages.demo_data.sound import SAMPLE_RATE_HZ, make_sound

CLIPS = "clips"


def run(*, seed: int, data: DataParams, demo_data: DemoDataParams, out: Path) -> Mapping[str, object]:
    """Write the demo set, or only check the user's folder when `data.raw` is not the demo's.

    Args:
        seed: root seed.
        data: where the pipeline reads its videos; the demo's own place is `out/clips`.
        demo_data: which clips to make.
        out: output folder, replaced as a whole.

    Returns:
        What to print in closing.

    Raises:
        DataError: `data.raw` is the user's and holds no `<class>/<file>`.
    """
    raw = Path(data.raw)
    wanted = raw.resolve() == (out / CLIPS).resolve()
    if not wanted:
        check_own_data(raw, out)
    with stage_output(out, params={"seed": seed, "data": data, "demo_data": demo_data}, inputs={}, code=Path(__file__).parent) as work:
        rows = write_set(seed, demo_data, work.folder / CLIPS) if wanted else []
        write_events(work.folder, rows)
        num_clips = len(demo_data.kinds) * demo_data.clips_per_kind if wanted else 0
        work.counts.update(clips=num_clips, events=len(rows))
    if not wanted:
        return {"clips": f"none written, data.raw is {data.raw}", "wrote": f"{out / TABLE} (empty)"}
    return {"kinds": ", ".join(demo_data.kinds), "clips": num_clips, "events": len(rows), "wrote": out}


def write_set(seed: int, params: DemoDataParams, folder: Path) -> list[dict[str, object]]:
    """Write every clip that is not there yet; returns the rows of the events table."""
    total = len(params.kinds) * params.clips_per_kind
    size = f"{params.clip_sec:g} s, {params.size_px} px, {params.fps} fps, {params.richness}"
    say("demo_data", f"{total} clips of {size} | {', '.join(params.kinds)} | seed {seed}")
    progress = Progress("demo_data", total, "clips")
    rows: list[dict[str, object]] = []
    for kind in params.kinds:
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for i in range(params.clips_per_kind):
            scene = draw_scene(kind, derive_seed(seed, "demo_data", kind, i), params.clip_sec, params.richness)
            name = f"{kind}/{kind}_{i:04d}.mp4"
            # A finished clip of a killed run is the same bytes: the scene follows from the seed alone.
            if not (folder / name).is_file():
                write_clip(folder / name, scene, params)
            rows += [{"source_path": name, "kind": kind, "time_sec": time} for time in scene.events_within(params.clip_sec)]
            progress.advance()
    return rows


def write_clip(path: Path, scene: Scene, params: DemoDataParams) -> None:
    """Draw, sound and write one scene, atomically."""
    frames = draw_frames(scene, round(params.clip_sec * params.fps), params.fps, params.size_px)
    with atomic_path(path) as temporary:
        write_mp4(temporary, frames, make_sound(scene, params.clip_sec), fps=params.fps, sample_rate=SAMPLE_RATE_HZ)


def check_own_data(raw: Path, out: Path) -> None:
    """Make sure that a user's folder holds at least one `<class>/<file>`.

    Raises:
        DataError: it does not, or lies where this stage would delete it.
    """
    if raw.resolve().is_relative_to(out.resolve()):
        raise DataError(f"data.raw is {raw}, inside {out}, which this stage replaces as a whole; "
                        "move the videos elsewhere and set data.raw in params.yaml to their folder")
    require_class_folders(raw, demo_clips=out / CLIPS)
