"""Rows of the paper's tables as DVC experiments: pytest tests/pipeline/test_sweep.py"""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.cli import main
from pipeline.dvc_tool import dvc_environment
from pipeline.errors import ParamsError
from pipeline.params import parse_params, parse_yaml
from pipeline.preset import preset_text
from pipeline.sweep import hydra, load_sweep, set_values, sweep_names

ROOT = Path(__file__).resolve().parents[2]
PARTS = ["no-adversarial-loss", "no-klvae-finetuning", "no-semantic-feature", "no-class-embedding", "no-latent-pooling",
         "no-modality-prompt", "no-weight-initialisation"]
OWN = """\
cumulative: false
always: {dit.train.steps: 1, dit.train.warmup_steps: 0}
rows:
  - {name: small, set: {autoencoder.loss.kl: 1.0e-8}}
  - {name: odd, set: {autoencoder.signal_decoder.pretrained.source: "it's: odd", sample.tasks: [svg, a2v]}}
"""
GRAPH = """\
stages:
  demo_data: {cmd: "true", outs: [data/demo_data]}
  evaluate: {cmd: cp params.yaml seen.yaml, params: [seed, autoencoder, dit, sample], outs: [seen.yaml]}
"""


def preset(tmp_path: Path, name: str = "landscape", **changes: object) -> Path:
    """A params.yaml of a preset with values changed."""
    values = set_values(yaml.safe_load(preset_text(name)), {key.replace("__", "."): value for key, value in changes.items()}, "test")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    return tmp_path / "params.yaml"


def params_of(file: Path, overrides: dict[str, Any]) -> Any:
    return parse_params(set_values(yaml.safe_load(file.read_text()), overrides, "test"))


def test_every_ready_sweep_runs_on_the_preset_that_it_is_for(tmp_path: Path) -> None:
    assert sweep_names() == ["ablation", "sensitivity"]
    for name, base, count in (("ablation", "landscape", 8), ("sensitivity", "aistpp", 4)):
        sweep = load_sweep(name, preset(tmp_path, base))
        assert len(sweep.rows) == count and not sweep.left_out
        assert all(row.paper for row in sweep.rows)


def test_each_row_of_the_ablation_lacks_all_that_the_rows_above_it_lack(tmp_path: Path) -> None:
    file = preset(tmp_path)
    rows = load_sweep("ablation", file).rows
    assert [row.name.split("-", 2)[2] for row in rows] == ["full", *PARTS]

    def off(overrides: dict[str, Any]) -> list[bool]:
        params = params_of(file, overrides)
        ae = params.autoencoder
        decoder = ae.signal_decoder
        return [not ae.loss.adversarial, params.klvae.mode == "pretrained", not decoder.semantic_context, not decoder.class_embedding,
                not decoder.pooled_latent, not decoder.num_prompt_tokens, decoder.pretrained.source is None]

    for number, row in enumerate(rows):
        assert off(row.overrides) == [True] * number + [False] * (len(PARTS) - number), row.name
        assert params_of(file, row.overrides).dit.train.steps == 1, "reconstructions need no DiT"


def test_the_sensitivity_rows_are_the_papers_weights(tmp_path: Path) -> None:
    file = preset(tmp_path, "aistpp")
    losses = [params_of(file, row.overrides).autoencoder.loss for row in load_sweep("sensitivity", file).rows]
    assert [(loss.kl, loss.contrastive, loss.classification) for loss in losses] == [
        (1e-8, 1.0, 1.0), (1e-8, 0.3, 0.3), (1e-8, 0.1, 0.1), (1e-7, 0.1, 0.1)]


def test_what_params_do_without_is_left_out_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    sweep = load_sweep("ablation", preset(tmp_path, "demo"))
    assert sweep.left_out == {"no-klvae-finetuning": "params.yaml: klvae.mode is scratch",
                              "no-weight-initialisation": "params.yaml has it so already"}
    assert [row.name for row in sweep.rows][-1] == "ablation-6-no-modality-prompt", "numbers are those of the table"
    monkeypatch.chdir(tmp_path)
    main(["sweep", "ablation", "-S", "autoencoder.train.steps=1000", "-S", "autoencoder.train.steps=70"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "# ablation-0-full (paper: rFVD 53.9, rKVD 2.4, rFAD 8.9)"
    assert lines[1].startswith("dvc exp run --name ablation-0-full -S dit.train.steps=1 ")
    assert lines[1].endswith("-S autoencoder.train.steps=70 evaluate")
    assert lines[-1] == "# left out: no-weight-initialisation (params.yaml has it so already)"


@pytest.mark.parametrize(("text", "said"), [
    ("rows: []", "is no sweep, expected the keys cumulative, always and rows"),
    (OWN.replace("name: small", "name: a/b"), "rows[0] is {'name': 'a/b'"),
    (OWN.replace("set: {autoencoder.loss.kl", "put: {autoencoder.loss.kl"), "rows[0] is {'name': 'small', 'put'"),
    (OWN.replace("loss.kl", "loss.lk"), "own.yaml sets autoencoder.loss.lk, which params.yaml does not have; correct the key"),
    (OWN.replace("[svg, a2v]", "[svg, t2v]"), 'own.yaml, row odd: params.yaml: sample.tasks[1] is the text "t2v", expected one of'),
])
def test_a_file_that_cannot_be_run_is_one_line(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(ParamsError) as caught:
        load_sweep(str(tmp_path / "own.yaml"), preset(tmp_path))
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_mistakes_on_the_command_line_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    preset(tmp_path, "demo")
    for arguments, said in ((["nope"], 'there is no sweep "nope", expected ablation, sensitivity or a file'),
                            (["ablation", "-S", "seed"], "-S seed is no override, expected KEY=VALUE"),
                            (["ablation", "-S", "sede=3"], "-S sets sede, which params.yaml does not have"),
                            (["ablation", "--queue"], "this folder is no git repository")):
        with pytest.raises(SystemExit) as caught:
            main(["sweep", *arguments])
        assert str(caught.value.code).startswith(f"sweep: {said}")


@pytest.mark.parametrize(("value", "written"), [
    (1e-8, "1e-08"), (3, "3"), (True, "true"), (None, "null"), ("pretrained", "pretrained"), ("a/b-c.d", "a/b-c.d"),
    ([1, "x y"], "[1,'x y']"), ("it's", "'it\\'s'"), ("", "''")])
def test_values_are_written_as_hydra_reads_them(value: object, written: str) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    assert hydra(value) == written
    read = OverridesParser.create().parse_override(f"key={written}").value()
    assert (str(read) if isinstance(value, str) else list(map(str, read)) if isinstance(value, list) else read) == (
        list(map(str, value)) if isinstance(value, list) else value)


@pytest.mark.slow
def test_queued_rows_wait_in_dvc_with_their_own_params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc").mkdir()
    for name in (".dvc/config", ".dvc/.gitignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "tests/presets/tiny.yaml", "params.yaml")
    for name, text in (("dvc.yaml", GRAPH), ("own.yaml", OWN), (".gitignore", "/seen.yaml\n/data\n")):
        Path(name).write_text(text)
    queue = ["sweep", "own.yaml", "--queue"]
    git("init", "-q", ".")
    refused(queue, "this git repository has no commit")
    git("add", "-A")
    git("commit", "-q", "-m", "start")
    Path("note.txt").write_text("not committed")
    refused(queue, 'note.txt differs from the last commit, which experiments start from; run: git add -A && git commit -m "before')
    Path("note.txt").unlink()
    capsys.readouterr()
    main(queue)
    assert "2 rows are queued: own-0-small, own-1-odd" in capsys.readouterr().err
    assert not git("status", "--porcelain"), "the workspace is as it was"
    refused(queue, "there is an experiment own-0-small already; remove it: dvc exp remove own-0-small")
    # The rows' params, as the stages will read them: in the commits of DVC's queue.
    seen = {}
    for commit in git("log", "-g", "--format=%H", "refs/exps/celery/stash").split():
        params = parse_params(parse_yaml(git("show", f"{commit}:params.yaml"), "params.yaml"))
        seen[params.autoencoder.loss.kl] = params
    source = {kl: params.autoencoder.signal_decoder.pretrained.source for kl, params in seen.items()}
    assert source == {1e-8: None, 1e-4: "it's: odd"}
    assert seen[1e-4].sample.tasks == ("svg", "a2v") and seen[1e-4].dit.train.steps == 1
    Path("clips/bounce").mkdir(parents=True)
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("raw: data/demo_data/clips", "raw: clips"))
    git("add", "-A")
    git("commit", "-q", "--allow-empty", "-m", "own clips")
    refused(queue, "params.yaml: data.raw is clips, which experiments, that run in folders of their own, do not find; set it to "
                   f"{tmp_path}/clips and commit")


def git(*arguments: str) -> str:
    command = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", *arguments]
    return subprocess.run(command, env=dvc_environment(), capture_output=True, text=True, check=True).stdout


def refused(arguments: list[str], said: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert str(caught.value.code).startswith(f"sweep: {said}")
