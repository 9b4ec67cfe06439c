"""`mmldm table`: printed rows, this run's figures, absences with the way out. `pytest tests/pipeline/test_paper_tables.py`"""

from pathlib import Path

import pytest

from pipeline.contracts.metrics import METRICS_SCHEMA, write_metrics
from pipeline.contracts.outputs import stage_output
from pipeline.errors import DataError
from pipeline.paper_tables import NUMBERS, efficiency, load_table, table_lines
from pipeline.params import read_yaml
from pipeline.sweep import FOLDER

CODE = Path(__file__)


def figure(key: str, value: float | None, **others: object) -> dict[str, object]:
    """A row of metrics.parquet."""
    protocol, task, name = key.split("/")
    empty = {field.name: None if str(field.type) == "double" else 0 if str(field.type) == "int64" else "" for field in METRICS_SCHEMA}
    return {**empty, "valid": True, "protocol": protocol, "task": task, "name": name, "value": value, **others}


def project(root: Path, *figures: dict[str, object]) -> Path:
    """A folder in which evaluate, sample and dit have finished."""
    with stage_output(root / "data/evaluate", params={}, inputs={}, code=CODE) as work:
        write_metrics(work.folder, figures)
    with stage_output(root / "data/sample", params={"sample": {"sampler": "ddim", "steps": 20}}, inputs={}, code=CODE):
        pass
    with stage_output(root / "data/dit", params={}, inputs={}, code=CODE) as work:
        work.counts.update(parameters=2_500_000, multiply_adds=81_000_000)
    return root


def row(lines: list[str], beginning: str) -> list[str]:
    """The cells of the last line that begins so."""
    return [line for line in lines if line.startswith(beginning)][-1].removeprefix(beginning).split()


def test_every_printed_row_has_a_cell_for_every_column() -> None:
    for number in NUMBERS:
        table = load_table(number)
        for rows in table.sections.values():
            assert all(len(cells) == len(table.heads) + len(table.columns) for cells in rows), number


@pytest.mark.parametrize(("number", "sweep"), [(5, "ablation"), (6, "sensitivity")])
def test_experiments_are_the_rows_of_the_sweeps_and_print_the_same(number: int, sweep: str) -> None:
    table, content = load_table(number), read_yaml(FOLDER / f"{sweep}.yaml")
    assert isinstance(content, dict)
    printed = {str(cells[1]): cells[2:] for rows in table.sections.values() for cells in rows}
    expected = {f"{sweep}-{i}-{entry['name']}": list(entry["paper"].values()) for i, entry in enumerate(content["rows"])}
    assert {name: list(cells[:len(expected[name])]) for name, cells in printed.items()} == expected


def test_figures_by_the_papers_extractors_stand_beside_its_rows(tmp_path: Path) -> None:
    lines = table_lines(1, project(
        tmp_path, figure("mm-ldm-64/svg/fvd_i3d_tats", 81.5, floor=17.0),
        figure("mm-ldm-256/svg/fvd_i3d_tats", 110.25, floor=23.5, note="20 samples, the protocol has 2048"),
        figure("mm-ldm-256/svg/fad_audioclip_mmdiffusion", 9.5), figure("mm-ldm-256/svg/fvd_i3d_tats_to_train", 99.0),
        figure("mm-ldm-256/v/fvd_i3d_tats", None, not_computed="needs X; get it by Y")))
    assert "read with care: mm-ldm-256/svg/fvd_i3d_tats: 20 samples, the protocol has 2048" in lines
    assert row(lines, "MM-LDM-svg")[:5] == ["256", "DDIM", "105", "8.3", "9.1"]
    assert row(lines, "this run-svg ") == ["256", "ddim", "20", *["-"] * 6, "110.2", "-", "9.5"]
    assert row(lines, "this run-svg, to training clips")[-3:] == ["99", "-", "-"]
    assert row(lines, "this run, held-out clips")[-3] == "23.5"
    small = next(line.split() for line in lines if line.startswith("this run-svg ") and " 64 " in line)
    assert small[-3:] == ["81.5", "-", "9.5"], "sound has no size"
    assert "not computed: mm-ldm-256/v/fvd_i3d_tats: needs X; get it by Y" in lines
    assert any(line.startswith("not computed: mm-ldm-64/a2v/fvd_i3d_tats") and "add it to sample.tasks" in line for line in lines)


def test_local_figures_are_shown_under_their_own_name_and_said_not_to_compare(tmp_path: Path) -> None:
    lines = table_lines(1, project(tmp_path, figure("demo/svg/fvd_local", 2.5, floor=1.0, resolution_px=64),
                                   figure("demo/v2a/fad_local", 7.0)))
    assert row(lines, "this run-svg")[-3:] == ["2.5", "-", "-"] and row(lines, "this run-v2a")[-1] == "7"
    assert any("NOT with the paper's rows" in line for line in lines)
    assert any(line.startswith("to compare with the paper's rows") and "add it to evaluate.protocols" in line for line in lines)


def test_a_protocol_that_was_not_asked_for_is_named_with_the_way_to_it(tmp_path: Path) -> None:
    lines = table_lines(1, project(tmp_path, figure("demo/svg/psnr_db", 20.0)))
    assert any("protocol mm-ldm-256 was not asked for; add it to evaluate.protocols" in line for line in lines)


def test_the_size_of_this_runs_network_stands_in_table_4(tmp_path: Path) -> None:
    lines = table_lines(4, project(tmp_path, figure("mm-ldm-256/svg/fvd_i3d_tats", 170.0)))
    assert row(lines, "this run, svg") == ["2.5M", "0.081G", "170", "-", "-"]


def test_without_experiments_this_run_and_the_way_to_them_are_shown(tmp_path: Path) -> None:
    lines = table_lines(5, project(tmp_path, figure("demo/reconstruction/rfvd_local", 2.25), figure("demo/reconstruction/rfad_local", 4.0)))
    assert row(lines, "this run")[-3:] == ["2.25", "-", "4"] and row(lines, "MM-LDM")[-6:] == ["53.9", "2.4", "8.9", "-", "-", "-"]
    assert any("mmldm sweep ablation --queue" in line for line in lines)


def test_a_stage_that_has_not_finished_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run: dvc repro evaluate"):
        table_lines(1, tmp_path)


def test_the_measured_table_keeps_what_was_not_measured_empty() -> None:
    found = {"px": 64, "says": ["this run: CPU"], "rows": [{"name": "end to end", "step_sec": 0.5, "sample_sec": 1.25, "train_gib": None,
                                                            "sample_gib": None, "train_most": None, "sample_most": 40}]}
    lines = efficiency(found)
    assert row(lines, "this run, end to end") == ["64", "-", "0.5", "40", "1.25", "-", "-"]
    assert row(lines, "MM-LDM*")[:5] == ["256", "12", "0.38", "33", "8.7"] and lines[-1] == "this run: CPU"
