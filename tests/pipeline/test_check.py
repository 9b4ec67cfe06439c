"""What stops a run before it begins: pytest tests/pipeline/test_check.py"""

import os
import shutil
from pathlib import Path

import pytest

from pipeline import check
from pipeline.check import check_disk, check_lock_file, check_not_outputs, check_project, check_raw
from pipeline.errors import DataError, RunError
from pipeline.graph import Graph, Stage

ROOT = Path(__file__).resolve().parents[2]
GRAPH = Graph({"demo_data": Stage("demo_data", "x", (), (), ("data/demo_data",), "cpu")}, {"demo_data": frozenset()})


def test_a_good_project_is_told_in_three_lines(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    shutil.copy(ROOT / "pipeline/presets/demo.yaml", tmp_path / "params.yaml")
    said = check_project(tmp_path)
    assert said[0] == "params.yaml is complete"
    assert said[1] == "data.raw is data/demo_data/clips, which demo_data writes"
    assert said[2].endswith("GiB free")


def test_class_folders_are_counted(tmp_path: Path) -> None:
    for name in ("thunder/a.mp4", "rain/b.mkv", ".hidden/c.mp4"):
        (tmp_path / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "raw" / name).touch()
    (tmp_path / "raw/empty").mkdir()
    assert check_raw(tmp_path, "raw", GRAPH) == "data.raw is raw, 2 class folders"
    assert check_raw(tmp_path, str(tmp_path / "raw"), GRAPH).endswith("2 class folders")


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.raw is .*raw, which does not exist; set data\.raw in params\.yaml to your folder"):
        check_raw(tmp_path, "raw", GRAPH)


def test_a_file_instead_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "raw").touch()
    with pytest.raises(DataError, match="which is a file"):
        check_raw(tmp_path, "raw", GRAPH)


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/.DS_Store").touch()
    with pytest.raises(DataError, match=r"which is empty; put videos into .*<class>"):
        check_raw(tmp_path, "raw", GRAPH)


def test_folders_in_folders_say_which_one_to_name(tmp_path: Path) -> None:
    (tmp_path / "raw/train/dog").mkdir(parents=True)
    (tmp_path / "raw/train/dog/a.mp4").touch()
    with pytest.raises(DataError, match=r"folders hold folders, not files; set data\.raw to .*raw/train"):
        check_raw(tmp_path, "raw", GRAPH)


def test_a_link_to_a_folder_is_refused_because_dvc_would_not_see_its_changes(tmp_path: Path) -> None:
    (tmp_path / "raw/cat").mkdir(parents=True)
    (tmp_path / "raw/cat/a.mp4").touch()
    (tmp_path / "raw/dog").symlink_to(tmp_path / "raw/cat")
    with pytest.raises(DataError, match="dog is a link to a folder, and DVC does not follow those"):
        check_raw(tmp_path, "raw", GRAPH)


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "raw/dog").mkdir(parents=True)
    (tmp_path / "raw/dog" / os.fsdecode(b"caf\xe9.mp4")).touch()
    with pytest.raises(DataError, match=r"caf\\xe9\.mp4' is not UTF-8; rename it") as refused:
        check_raw(tmp_path, "raw", GRAPH)
    str(refused.value).encode()  # the message itself can be printed


def test_the_folder_of_the_outputs_is_refused_before_the_graph_becomes_a_circle(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds the stages' outputs too; move your videos to data/raw"):
        check_not_outputs(tmp_path, "data")


def test_files_without_class_folders(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "raw" / name).touch()
    with pytest.raises(DataError, match="has 2 files but no class folders; move them into"):
        check_raw(tmp_path, "raw", GRAPH)


def test_files_beside_a_table_of_labels(tmp_path: Path) -> None:
    (tmp_path / "raw/deep/er").mkdir(parents=True)
    for name in ("a.mp4", "deep/er/b.mp4", "labels.csv"):
        (tmp_path / "raw" / name).touch()
    assert check_raw(tmp_path, "raw", GRAPH, "labels.csv") == "data.raw is raw, its labels are in labels.csv"
    with pytest.raises(DataError, match=r"a table but no class folders; name the table in inventory\.labels"):
        check_raw(tmp_path, "raw", GRAPH)
    with pytest.raises(DataError, match=r'inventory\.labels is "other\.csv", but .* is not there'):
        check_raw(tmp_path, "raw", GRAPH, "other.csv")


def test_a_file_that_dvc_could_not_hash(tmp_path: Path) -> None:
    (tmp_path / "raw/rain").mkdir(parents=True)
    (tmp_path / "raw/rain/a.mp4").touch()
    (tmp_path / "raw/rain/b.mp4").symlink_to("nowhere.mp4")
    with pytest.raises(DataError, match=r"in which rain/b\.mp4 is a link to nothing; mend or remove it"):
        check_raw(tmp_path, "raw", GRAPH)


def test_a_folder_without_git(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pipeline/presets/demo.yaml", tmp_path / "params.yaml")
    with pytest.raises(RunError, match="no git repository"):
        check_project(tmp_path)


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "MIN_FREE_GIB", 1e9)
    with pytest.raises(RunError, match=r"GiB free, 1e\+09 needed; free some"):
        check_disk(tmp_path)


@pytest.mark.parametrize("content", ["schema: '2.0'\nstages:\n  dit:\n    cmd: [", "<<<<<<< HEAD\nschema: '2.0'\n=======\n", "nonsense"])
def test_half_a_dvc_lock(tmp_path: Path, content: str) -> None:
    (tmp_path / "dvc.lock").write_text(content)
    with pytest.raises(RunError, match=r"git checkout HEAD -- dvc\.lock"):
        check_lock_file(tmp_path / "dvc.lock")
