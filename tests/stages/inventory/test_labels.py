"""Class, split and caption from a table: pytest tests/stages/inventory/test_labels.py"""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from pipeline.contracts.clips import read_clips, read_rejected
from pipeline.errors import DataError
from pipeline.params import ClipParams, load_params
from pipeline.workers import Workers
from stages.inventory.inventory import run
from stages.inventory.labels import read_labels
from stages.inventory.listing import list_files

TINY = Path(__file__).resolve().parents[2] / "presets" / "tiny.yaml"
CLIP = ClipParams(frame_size_px=32, fps=10, num_frames=16, window_stride=2, fit="pad", max_sec=10.0)
MakeClip = Callable[..., Path]


def touch(raw: Path, *paths: str) -> None:
    for path in paths:
        (raw / path).parent.mkdir(parents=True, exist_ok=True)
        (raw / path).touch()


def listed(raw: Path, text: str) -> tuple[dict[str, str], dict[str, str]]:
    """(class by path, reason by path) for a folder with this labels.csv."""
    (raw / "labels.csv").write_text(text, encoding="utf-8")
    listing = list_files(raw, read_labels(raw, "labels.csv"))
    return ({item.path: item.class_name for item in listing.candidates},
            {str(row["source_path"]): str(row["reason"]) for row in listing.rejected})


def told(raw: Path, content: bytes, name: str = "labels.csv") -> str:
    raw.mkdir(exist_ok=True)
    (raw / name).write_bytes(content)
    with pytest.raises(DataError) as error:
        read_labels(raw, name)
    assert "\n" not in str(error.value) and str(raw / name) in str(error.value)
    return str(error.value)


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory, make_clip: MakeClip) -> Path:
    """Six short clips side by side, one of them two folders down."""
    raw = tmp_path_factory.mktemp("flat")
    for i in range(6):
        make_clip(raw / ("a/b" if i == 5 else "") / f"{i}.mp4", 1.8, tone_hz=300 + 70 * i)
    return raw


def inventory_of(raw: Path, out: Path, labels: str) -> tuple[pd.DataFrame, dict[str, str]]:
    params = replace(load_params(TINY).inventory, labels=labels)
    run(seed=7, clip=CLIP, inventory=params, workers=Workers(1), source=raw, out=out)
    rejected = read_rejected(out)
    return read_clips(out).set_index("source_path"), dict(zip(rejected["source_path"], rejected["reason"], strict=True))


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_class_split_and_caption_come_from_the_table(ending: str, flat: Path, tmp_path: Path) -> None:
    rows = [("0.mp4", "dog", "test", "a dog, barking"), ("1.mp4", "dog", "train", None), ("2.mp4", "cat", None, "été 雨"),
            ("3.mp4", "cat", "train", ""), ("4.mp4", "cat", "test", ""), ("a/b/5.mp4", "dog", "train", "deep")]
    table = pd.DataFrame(rows, columns=["path", "class", "split", "caption"])
    (table.to_parquet if ending == ".parquet" else table.to_csv)(flat / f"labels{ending}", index=False)
    clips, rejected = inventory_of(flat, tmp_path / "inventory", f"labels{ending}")
    assert rejected == {}
    assert clips["class_name"].to_dict() == {path: name for path, name, _, _ in rows}
    assert clips["caption"].to_dict() == {path: caption or "" for path, _, _, caption in rows}
    assert clips["split"].drop("2.mp4").to_dict() == {path: split for path, _, split, _ in rows if split}


def test_every_row_and_every_file_is_somewhere(tmp_path: Path) -> None:
    touch(tmp_path, "dog/1.mp4", "dog/2.mp4", "deep/er/3.mp4", "4.mp4", "dog/notes.txt", "no_row.mp4", "deep/er/no_class.mp4")
    classes, reasons = listed(tmp_path, "path,class\n./dog//1.mp4,Dog barking\ndog/2.mp4,\ndeep/er/3.mp4,rain\n4.mp4,rain\n"
                              "deep/er/no_class.mp4,\ngone.mp4,rain\n../out.mp4,rain\n/etc/passwd,rain\ndog/../../out.mp4,rain\n")
    assert classes == {"dog/1.mp4": "Dog barking", "dog/2.mp4": "dog", "deep/er/3.mp4": "rain", "4.mp4": "rain"}
    assert reasons == {"no_row.mp4": "not_in_labels", "deep/er/no_class.mp4": "no_class", "gone.mp4": "missing_file",
                       "../out.mp4": "path_leads_outside", "/etc/passwd": "path_leads_outside", "dog/../../out.mp4": "path_leads_outside"}


def test_a_table_without_classes_leaves_the_folders_theirs(tmp_path: Path) -> None:
    touch(tmp_path, "dog/1.mp4", "cat/2.mp4", "cat/deeper/3.mp4")
    classes, reasons = listed(tmp_path, "path,caption\ndog/1.mp4,it barks\n")
    assert classes == {"dog/1.mp4": "dog", "cat/2.mp4": "cat"}
    assert reasons == {"cat/deeper/3.mp4": "no_class"}


def test_a_link_to_a_folder_leads_nowhere(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "secret.mp4")
    touch(tmp_path / "raw", "1.mp4")
    (tmp_path / "raw" / "link").symlink_to(tmp_path / "elsewhere")
    _, reasons = listed(tmp_path / "raw", "path,class\n1.mp4,a\nlink/secret.mp4,a\nlink/../../elsewhere/secret.mp4,a\n")
    assert reasons == {"link/secret.mp4": "missing_file", "link/../../elsewhere/secret.mp4": "path_leads_outside"}


@pytest.mark.parametrize("text", [
    "\ufeffpath,class\r\n1.mp4,a\r\n\r\n", "path;class\n1.mp4;a\n", "class\tnote\tPath \na\tx\t1.mp4\n", '"path","class"\n"1.mp4","a"\n',
    "path,class\n1.mp4,a\n./1.mp4,a\n",
], ids=["byte order mark, Windows lines", "semicolons", "tabs, other columns", "quotes", "one row twice"])
def test_forms_of_csv_that_programs_write(text: str, tmp_path: Path) -> None:
    touch(tmp_path, "1.mp4")
    assert listed(tmp_path, text) == ({"1.mp4": "a"}, {})


def test_an_accented_name_is_found_however_it_is_spelled(tmp_path: Path) -> None:
    touch(tmp_path, "e\u0301te\u0301.mp4")
    assert listed(tmp_path, "path,class\n\u00e9t\u00e9.mp4,a\n") == ({"e\u0301te\u0301.mp4": "a"}, {})


@pytest.mark.parametrize(("content", "message"), [
    (b"", "is empty, expected the columns path, class, split, caption"),
    (b"path,class\n", "has no rows, expected one for each file"),
    (b"file,class\na.mp4,a\n", "has the columns 'file, class', expected path and any of class, split, caption"),
    (b"path,class,class\na.mp4,a,b\n", "has the column class twice"),
    (b"path,class\na.mp4,a\nb.mp4,caf\xe9\n", "line 3: byte 0xe9 is not UTF-8; save the table as UTF-8"),
    ("path,class\na.mp4,a\n".encode("utf-16"), "line 1: byte 0xff is not UTF-8"),
    (b"path,class\na.mp4,a,b\n", r"line 2: 3 cells, the first line has 2; .* goes into quotes"),
    (b'path,class\na.mp4,"a\nb.mp4,b\n', "line 2: unexpected end of data"),
    (b"path,split\n\na.mp4,val\n", 'line 3: split is "val", expected train, test or nothing'),
    (b"path,class\n,a\n", "line 2: no path, expected one relative to data.raw"),
    (b'path,class\na.mp4,"two\nlines"\n', "line 2: class 'two.nlines' holds a line break"),
    (b"path,class\na.mp4,a\nb.mp4,b\n./a.mp4,b\n", "says two things of a.mp4, in line 2 and line 4"),
], ids=lambda value: str(value)[:30] if isinstance(value, str) else "")
def test_a_table_that_cannot_be_used_is_told_in_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    assert pd.Series([told(tmp_path, content)]).str.contains(message).all()


def test_a_parquet_file_that_is_none(tmp_path: Path) -> None:
    assert "is not a parquet table" in told(tmp_path, b"path,class\n", "labels.parquet")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_table_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").touch(mode=0)
    with pytest.raises(DataError, match="cannot be read"):
        read_labels(tmp_path, "labels.csv")


def test_an_absent_table_and_folders_that_need_one(tmp_path: Path) -> None:
    touch(tmp_path, "1.mp4")
    with pytest.raises(DataError, match=r'inventory\.labels is "labels\.csv", but .* is not there; put the table into data\.raw'):
        read_labels(tmp_path, "labels.csv")
    with pytest.raises(DataError, match=r"no class folders, .* or name a table of classes in inventory\.labels"):
        list_files(tmp_path, None)


def test_a_duplicate_says_what_is_not_the_same_and_the_held_out_copy_wins(flat: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(flat, raw, ignore=shutil.ignore_patterns("labels.*"))
    shutil.copy(raw / "0.mp4", raw / "0_again.mp4")
    (raw / "labels.csv").write_text("path,class,split\n0.mp4,dog,train\n0_again.mp4,cat,test\n"
                                    + "".join(f"{i}.mp4,dog,train\n" for i in range(1, 5)) + "a/b/5.mp4,cat,\n")
    clips, reasons = inventory_of(raw, tmp_path / "inventory", "labels.csv")
    assert reasons == {"0_again.mp4": "duplicate"}
    detail = read_rejected(tmp_path / "inventory")["detail"].item()
    assert detail == "same bytes as 0.mp4; class is dog there, cat here; split is train there, test here"
    assert clips.loc["0.mp4", "split"] == "test"


def test_a_table_that_holds_everything_out(flat: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(flat, raw, ignore=shutil.ignore_patterns("labels.*"))
    (raw / "labels.csv").write_text("path,class,split\n" + "".join(f"{i}.mp4,a,test\n" for i in range(5)) + "a/b/5.mp4,a,TEST\n")
    with pytest.raises(DataError, match=r"inventory\.labels holds out every source \(split test\); leave some to train on"):
        inventory_of(raw, tmp_path / "inventory", "labels.csv")
