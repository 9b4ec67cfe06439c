"""The page: whole, self-contained, safe against odd names. `pytest tests/stages/report/test_page.py`"""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import av
import numpy as np
import pytest
from PIL import Image

from pipeline.contracts.decoded import read_decoded
from pipeline.contracts.metrics import METRICS_SCHEMA, write_metrics
from pipeline.contracts.neighbours import write_neighbours
from pipeline.contracts.outputs import stage_output, write_text
from pipeline.contracts.samples import read_samples, write_samples
from pipeline.errors import DataError
from pipeline.params import ReportParams
from stages.report import run
from stages.report.curves import Curve, curve_figure, read_curves
from stages.report.glossary import meaning
from stages.report.likeness import Likeness, likeness_chart
from stages.report.media import write_mel
from stages.report.page import _metrics as page_metrics
from stages.report.page import _missing as page_missing
from stages.report.run import examples
from stages.report.style import CSS


def figure(**fields: object) -> dict[str, object]:
    """A row of metrics.parquet, what is not given left empty."""
    counts = ("num_samples", "num_reference", "resolution_px", "fps", "num_frames")
    numbers = ("value", "low", "high", "floor")
    empty = {name: 0 if name in counts else None if name in numbers else "" for name in METRICS_SCHEMA.names}
    return {**empty, "protocol": "demo", "valid": True, **fields}


class Tags(HTMLParser):
    """Every tag with its attributes, and whether they close in order."""

    VOID = frozenset(("meta", "img", "wbr", "circle", "polyline", "link", "br"))

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def neighbours(finished) -> list[dict[str, object]]:  # type: ignore[no-untyped-def]
    """Samples of svg, the first two flagged, and held-out windows, all beside one training window."""
    learnt = f"{read_decoded(finished.decode, 'train').keys[0]}-0002"
    row = {"protocol": "demo", "space": "pixels", "nearest": learnt, "distance": 3.0, "limit": 0.5}
    ids = [name for name in read_samples(finished.sample)["sample_id"] if name.startswith("svg")]
    return [*({**row, "task": "svg", "name": name, "ratio": 0.2 + 0.25 * i, "flagged": i < 2} for i, name in enumerate(ids)),
            *({**row, "task": "real", "name": f"held-{i}", "ratio": 0.6 + 0.1 * i, "flagged": False} for i in range(4))]


def write_report(finished, num_examples: int = 3, out: str = "report") -> Path:  # type: ignore[no-untyped-def]
    """The stage on synthetic folders, with an evaluate folder of two figures and one absent one."""
    root = finished.root
    for name, curves in (("klvae", "step,lr,generator/loss\n10,0.1,1.5\n20,0.1,0.5\n"), ("autoencoder", None), ("dit", "step,lr\n"),
                         ("local_features", None)):
        with stage_output(root / name, params={}, inputs={}, code=Path(__file__).parent) as work:
            if curves:
                write_text(work.folder / "curves.csv", curves)
    rows = [figure(name="fvd_local", task="svg", value=12.3456, floor=3.5, low=11.5, high=13.25, num_samples=8, extractor="local",
                   num_reference=12),
            figure(name="psnr_db", task="reconstruction", value=31.25),
            figure(name="fvd_i3d", task="svg", not_computed="needs <an I3D>")]
    with stage_output(root / "evaluate", params={"seed": 7}, inputs={}, code=Path(__file__).parent) as work:
        write_metrics(work.folder, rows)
        write_neighbours(work.folder, neighbours(finished))
    run(clip=finished.clip, audio=finished.audio, report=ReportParams(num_examples=num_examples), inventory=finished.inventory,
        decode=finished.decode, local_features=root / "local_features", audio_images=finished.audio_images, klvae=root / "klvae",
        autoencoder=root / "autoencoder", dit=root / "dit", sample=finished.sample, evaluate=root / "evaluate", out=root / out)
    return root / out


def test_the_page_shows_samples_beside_real_clips_and_every_file_lies_beside_it(finished_run) -> None:  # type: ignore[no-untyped-def]
    finished = finished_run()
    folder = write_report(finished)
    tags = Tags((folder / "index.html").read_text()).found
    videos = [attributes for tag, attributes in tags if tag == "video"]
    assert len(videos) == 4 * 3 * 2 + 3 * 2, "and three samples beside the training clips nearest to them"
    assert all("controls" in video and video["preload"] == "metadata" and video["aria-label"] for video in videos)
    assert all(attributes["alt"] for tag, attributes in tags if tag == "img")
    shown = {unquote(attributes[name]) for _, attributes in tags for name in ("src", "poster") if name in attributes}
    assert shown == {f"media/{path.name}" for path in (folder / "media").iterdir()}
    for task in ("svg", "a2v", "v2a", "reconstruction"):
        assert f"media/{task}-0000.mp4" in shown
        assert (folder / f"media/{task}-0000.mp4").read_bytes() == (finished.sample / f"mp4/{task}-0000.mp4").read_bytes()


def test_nothing_is_loaded_from_elsewhere(finished_run) -> None:  # type: ignore[no-untyped-def]
    page = (write_report(finished_run()) / "index.html").read_text()
    assert not re.search(r"https?:|//cdn|<script|<link|@import|url\(", page)


def test_real_clips_play_with_picture_and_sound(finished_run) -> None:  # type: ignore[no-untyped-def]
    finished = finished_run(tasks=("a2v",))
    folder = write_report(finished)
    real = sorted((folder / "media").glob("real-*.mp4"))
    with av.open(str(real[0])) as container:
        frames = list(container.decode(video=0))
        assert len(frames) == finished.clip.num_frames and float(container.streams.video[0].average_rate) == finished.clip.fps
        assert container.streams.audio[0].rate == finished.audio.sample_rate_hz


def test_class_names_cannot_break_out_of_the_page(finished_run) -> None:  # type: ignore[no-untyped-def]
    name = '<script>alert(1)</script> "雨" & \'co\''
    folder = write_report(finished_run(class_names=(name, 'x" onerror="y')))
    page = (folder / "index.html").read_text(encoding="utf-8")
    tags = Tags(page).found
    assert not any(tag == "script" or "onerror" in attributes for tag, attributes in tags)
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &quot;雨&quot; &amp; &#x27;co&#x27;" in page
    assert "needs &lt;an I3D&gt;" in page


def test_figures_stand_beside_their_floors_and_absences_have_reasons(finished_run) -> None:  # type: ignore[no-untyped-def]
    page = (write_report(finished_run()) / "index.html").read_text()
    line = next(line for line in page.split("<tr>") if line.startswith('<th scope="row">fvd_<wbr>local'))
    assert "12.35" in line and "3.5" in line and "Not comparable with a published FVD" in line and "8 windows against 12" in line
    assert "fvd_<wbr>i3d<small>svg; protocol demo" in page and "31.25" in page
    for reason in ("unreadable", "no_audio"):
        assert f'<th scope="row">{reason}</th><td class="number">1</td>' in page
    assert '<th scope="row">across</th><td class="number">4</td><td class="number">4</td>' in page


def test_a_second_report_has_the_same_bytes(finished_run) -> None:  # type: ignore[no-untyped-def]
    finished = finished_run()
    one, two = write_report(finished, out="a/report"), write_report(finished, out="b/report")
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert len(files) > 20
    assert all((one / path).read_bytes() == (two / path).read_bytes() for path in files)


def test_examples_take_the_classes_in_turn(finished_run) -> None:  # type: ignore[no-untyped-def]
    rows = read_samples(finished_run(class_names=("a", "b", "c"), samples_per_task=9, tasks=("svg",)).sample)
    assert examples(rows, 3)["class_id"].tolist() == [0, 1, 2]
    assert len(examples(rows, 100)) == 9


def test_samples_without_a_class_or_of_unknown_clips(finished_run) -> None:  # type: ignore[no-untyped-def]
    finished = finished_run(tasks=("svg",))
    rows = read_samples(finished.sample).to_dict("records")
    write_samples(finished.sample, [{**row, "class_id": -1, "class_name": ""} for row in rows])
    assert "no class asked for" in (write_report(finished) / "index.html").read_text()
    write_samples(finished.sample, [{**row, "condition_clip_id": "gone", "condition_start_frame": 0} for row in rows])
    with pytest.raises(DataError, match="run: dvc repro sample"):
        write_report(finished)


def test_curves_skip_empty_cells_and_draw_inside_the_chart(tmp_path: Path) -> None:
    (tmp_path / "curves.csv").write_text("step,lr,a/loss,a/grad_norm,val/x\n1,0.1,5,9,\n2,0.1,nan,9,\n3,0.1,1,9,0.25\n")
    curves = read_curves(tmp_path / "curves.csv")
    assert curves == [Curve("a/loss", [(1, 5), (3, 1)]), Curve("val/x", [(3, 0.25)])]
    drawn = curve_figure(curves[0])
    assert 'points="6.0,6.0 234.0,104.0"' in drawn and "<b>1</b>" in drawn
    assert len(curve_figure(Curve("flat", [(float(i), 2.0) for i in range(5000)])).split()) < 400
    assert read_curves(tmp_path / "absent.csv") == []


def test_mel_pictures_keep_low_pitch_below(tmp_path: Path) -> None:
    gray = np.zeros((4, 10), np.uint8)
    gray[-1] = 255
    write_mel(tmp_path / "mel.png", gray)
    image = np.asarray(Image.open(tmp_path / "mel.png"))
    assert image.shape == (12, 30, 3) and image[-1].min() > 200 and image[0].max() < 40


def test_every_figure_of_the_stage_is_explained() -> None:
    for name in ("fvd_local", "kvd_local", "fad_local", "fvd_i3d", "kvd_i3d", "rfvd_local", "rkvd_i3d", "rfad_local", "psnr_db", "ssim",
                 "audio_image_psnr_db", "audio_image_ssim", "video_class_accuracy_local", "audio_class_accuracy_local", "event_recall",
                 "event_precision", "seen_event_recall", "heard_event_precision", "av_align", "beat_hit_rate_100ms",
                 "memorised_pixels", "nearest_ratio_video_local", "cosine_pe_av"):
        assert meaning(name), name
    assert meaning("audio_image_ssim") != meaning("ssim") and meaning("av_align_original") != meaning("av_align")


def test_the_nearest_training_clips_are_shown_nearest_first_and_flagged_ones_marked(finished_run) -> None:  # type: ignore[no-untyped-def]
    finished = finished_run(tasks=("svg",))
    page = (write_report(finished, num_examples=3) / "index.html").read_text()
    section = page[page.index('<section id="memory"'):page.index('<section id="absent"')]
    assert section.count("<article") == 3 and section.count('class="flag"') == 2 and "2 of 8 flagged" in section
    assert [section.index(f"svg-{i:04d}.mp4") for i in range(3)] == sorted(section.index(f"svg-{i:04d}.mp4") for i in range(3))
    assert f'media/real-{neighbours(finished)[0]["nearest"]}.mp4' in section, "a clip that was learnt from, not a held-out one"


def test_marks_of_the_audit_lie_inside_the_chart_and_a_copy_at_its_left() -> None:
    drawn = likeness_chart(Likeness("svg", "demo", "pixels", 0.5, [0.0, 0.4, 2.0], [0.7, 0.9], 2))
    places = [float(x) for x in re.findall(r"M([\d.]+) ", drawn)]
    assert min(places) == 6.0 and max(places) == 474.0 and len(places) == 6
    assert len(re.findall("M", likeness_chart(Likeness("svg", "demo", "pixels", 0.5, [0.5] * 5000, [], 0)))) < 450


def test_a_figure_that_means_nothing_here_is_marked_and_real_clips_stand_beside_it(finished_run) -> None:  # type: ignore[no-untyped-def]
    rows = [figure(name="av_align", task="svg", value=0.25, floor=0.2, valid=False, num_samples=8),
            figure(name="av_align", task="real", value=0.375, num_samples=8)]
    shown = page_metrics(rows)
    line = next(line for line in shown.split("<tr>") if "0.25" in line)
    assert "not valid here" in line and "real clips get 0.375" in line


def test_the_page_has_margins_and_a_phone_gets_one_player_a_row() -> None:
    """Rules by selector; one that has slipped into another's selector would be under neither name."""
    rules = dict(re.findall(r"(?m)^([^{}@/]+?) \{([^{}]*)\}", CSS))
    assert "max-width" in rules["header, main, footer"] and "padding" in rules["header, main, footer"]
    phone = re.search(r"@media \(max-width: 34rem\) \{ \.pair \{ grid-template-columns: 1fr; \}", CSS)
    assert phone is not None and CSS.index(".pair {") < phone.start(), "the later rule wins"


def test_absent_figures_of_the_same_tasks_and_reason_are_told_once() -> None:
    rows = [figure(name=name, task=task, not_computed="needs X; get it by Y") for task in ("svg", "a2v") for name in ("fvd_x", "kvd_x")]
    shown = page_missing([*rows, figure(name="fad_x", task="v2a", not_computed="needs Z")])
    assert shown.count("needs X; get it by Y") == 1 and shown.count("fvd_<wbr>x, kvd_<wbr>x<small>svg, a2v; protocol demo") == 1
    assert "fad_<wbr>x<small>v2a; protocol demo" in shown
