"""The command mmldm: pytest tests/pipeline/test_cli.py"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.look import example_videos, where_to_look
from pipeline.preset import NAMES, preset_text


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command runs in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)


def test_a_mistake_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(preset_text("demo").replace("  depth:", "  detph:"))
    for command in ("check", "reproduce"):
        done = subprocess.run([sys.executable, "-m", "pipeline", command], capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stderr == f'{command}: params.yaml: dit has no key "detph"; did you mean "depth"?\n'


def test_another_folder_is_recognised(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"check: params\.yaml not found; run from the project's folder"):
        main(["check"])


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    code = "import sys, pipeline.cli, pipeline.check, pipeline.graph; print({'torch', 'pandas', 'prefect'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"


def test_preset_list_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    main(["preset", "list"])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(NAMES)
    main(["preset", "show", "aistpp"])
    assert capsys.readouterr().out == preset_text("aistpp")


@pytest.mark.parametrize("command", ["look", "registry list", "table 1", "preset use demo"])
def test_what_would_find_nothing_says_that_it_is_another_folder(command: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"this folder is no MM-LDM project \(it has no dvc\.yaml\); run it in the project's folder"):
        main(command.split())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("steps", ["x", "0", "-1"])
def test_a_count_that_is_none_is_told_in_words(steps: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["table", "2", "--steps", steps])
    assert capsys.readouterr().err == \
        f'mmldm table: argument --steps: "{steps}", expected a whole number of 1 or more; see: mmldm table --help\n'


def test_preset_use_says_what_is_left_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "dvc.yaml").touch()
    main(["preset", "use", "landscape"])
    assert "set data.raw in params.yaml to your folder <class>/<file>" in capsys.readouterr().err
    text = (tmp_path / "params.yaml").read_text().replace("raw: data/demo_data/clips", "raw: /videos")
    (tmp_path / "params.yaml").write_text(text)
    main(["preset", "use", "demo-hour"])
    said = capsys.readouterr().err
    assert "params.yaml is demo-hour now, data.raw /videos" in said and "set data.raw" not in said


def test_an_unknown_preset(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").touch()
    with pytest.raises(SystemExit, match='preset: there is no preset "imagenet"'):
        main(["preset", "use", "imagenet"])
    assert not (tmp_path / "params.yaml").exists()


def test_look_names_the_page_one_video_a_task_and_the_figures(tmp_path: Path) -> None:
    assert where_to_look(tmp_path) == ["nothing to look at yet; run: make repro"]
    videos = [f"data/sample/mp4/{task}-{i:04d}.mp4" for task in ("a2v", "reconstruction", "svg", "v2a") for i in (0, 1)]
    for name in ("data/report/index.html", *videos):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "data/evaluate").mkdir()
    (tmp_path / "data/evaluate/metrics.json").write_text(json.dumps(
        {"demo/svg/fvd_local": 12.345678, "demo/svg/event_recall": 0.5, "demo/svg/event_recall_floor": 0.25,
         "demo/svg/event_recall_low": 0.4, "demo/svg/event_recall_high": 0.6}))
    lines = where_to_look(tmp_path)
    assert lines[0] == f"report    {tmp_path / 'data/report/index.html'}"
    assert [Path(line.split()[-1]).name for line in lines[1:4]] == ["svg-0000.mp4", "a2v-0000.mp4", "v2a-0000.mp4"]
    assert lines[4:] == ["",
                         "protocol  task  figure        value  95% interval  floor",
                         "demo      svg   fvd_local     12.35",
                         "demo      svg   event_recall    0.5    0.4 to 0.6   0.25"]


def test_look_shows_what_there_is(tmp_path: Path) -> None:
    assert example_videos(tmp_path / "nowhere") == []
    (tmp_path / "data/sample/mp4").mkdir(parents=True)
    assert where_to_look(tmp_path) == ["nothing to look at yet; run: make repro"]
