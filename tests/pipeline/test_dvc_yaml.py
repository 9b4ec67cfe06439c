"""dvc.yaml says what the stages really read: pytest tests/pipeline/test_dvc_yaml.py"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from pipeline.graph import load_graph
from pipeline.params import load_params

ROOT = Path(__file__).resolve().parents[2]
GRAPH = load_graph(ROOT)
STAGES = ["demo_data", "inventory", "decode", "local_features", "audio_images", "klvae", "encode", "autoencoder", "latents", "dit",
          "sample", "evaluate", "report"]
# They read settings (tracked by value), hand out work, or talk to the user and to other programs; no byte of an output is decided there.
SAYS_NOTHING_ABOUT_RESULTS = {"pipeline.commands", "pipeline.dask_workers", "pipeline.errors", "pipeline.live_curves",
                              "pipeline.look", "pipeline.params",
                              "pipeline.params_evaluate", "pipeline.params_networks", "pipeline.params_reader",
                              "pipeline.params_training", "pipeline.processes", "pipeline.progress", "pipeline.quiet",
                              "pipeline.workers"}
SHARED_SECTIONS = {"seed", "data", "clip", "audio", "vocoder", "kl_latent", "warm_start"}


def test_every_stage_of_the_design_is_there_in_the_order_of_the_data() -> None:
    assert list(GRAPH.stages) == STAGES
    for name, stage in GRAPH.stages.items():
        assert stage.cmd == f"python -m stages.{name}"
        assert stage.outs == (f"data/{name}",)


@pytest.mark.parametrize("name", STAGES)
def test_code_deps_are_the_imports(name: str) -> None:
    written = {dep for dep in GRAPH.stages[name].deps if dep.startswith(("stages/", "pipeline/"))}
    assert written == code_read_by(name)


@pytest.mark.parametrize("name", STAGES)
def test_params_are_the_sections_that_main_hands_over(name: str) -> None:
    touched = sections_of_main(name) - {"compute"}  # where it runs, not what comes out
    assert set(GRAPH.stages[name].params) == touched
    assert {section.split(".")[0] for section in touched} <= SHARED_SECTIONS | {name}, "a stage reads its own section and the shared ones"


@pytest.mark.parametrize("name", STAGES)
def test_data_deps_are_the_paths_that_main_hands_over(name: str) -> None:
    opened = set(re.findall(r"\"(data/[\w/.]+)\"", main_text(name))) - {f"data/{name}"}
    written = {dep for dep in GRAPH.stages[name].deps if not dep.startswith(("stages/", "pipeline/"))}
    raw = {load_params(ROOT / "params.yaml").data.raw} if "params.data.raw" in main_text(name) else set()
    assert written == opened | raw


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_imports_earlier_stages_only(name: str) -> None:
    earlier = STAGES[: STAGES.index(name)]
    imported = {module.split(".")[1] for module in reached_modules(f"stages.{name}") if module.startswith("stages.")}
    assert imported <= {name, *earlier}


def test_pipeline_imports_no_stage() -> None:
    for path in (ROOT / "pipeline").rglob("*.py"):
        assert not [module for module in imports(path) if module.split(".")[0] == "stages"], path


def test_a_change_runs_what_reads_it_and_nothing_else() -> None:
    def rerun(section: str) -> list[str]:
        return GRAPH.downstream([stage.name for stage in GRAPH.stages.values() if section in stage.params])

    assert rerun("dit") == ["dit", "sample", "evaluate", "report"]
    assert "decode" not in rerun("audio_images") and rerun("audio_images")[0] == "audio_images"
    assert rerun("compute") == rerun("flow") == []


def test_stages_with_networks_share_the_gpu() -> None:
    assert [name for name in STAGES if GRAPH.stages[name].slot == "gpu"] == \
        ["local_features", "klvae", "encode", "autoencoder", "latents", "dit", "sample", "evaluate"]


def code_read_by(stage: str) -> set[str]:
    """The package folders and pipeline files that decide a stage's result, as dvc.yaml names them."""
    found = set()
    for module in reached_modules(f"stages.{stage}"):
        top, *rest = module.split(".")
        if top == "stages" and rest:
            found.add(f"stages/{rest[0]}")
        elif top == "pipeline" and module not in SAYS_NOTHING_ABOUT_RESULTS and not is_docstring_only(file_of(module)):
            found.add(str(file_of(module).relative_to(ROOT)))
    return found


def reached_modules(package: str) -> set[str]:
    """Every module of this project that the package's files import, directly or through one another."""
    reached: set[str] = set()
    todo = [package]
    while todo:
        module = todo.pop()
        if module in reached or module in SAYS_NOTHING_ABOUT_RESULTS:
            continue
        reached.add(module)
        path = file_of(module)
        if path.name == "__init__.py" and module.startswith("stages."):
            todo += [".".join((module, *inner.relative_to(path.parent).with_suffix("").parts)) for inner in path.parent.rglob("*.py")
                     if inner.stem != "__init__"]
        todo += imports(path)
    return reached


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Modules of this project that a file imports anywhere in it, also inside of functions."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: absolute imports only, they can be read without knowing where one is"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [node.module, *(module for module in inner if exists(module))]
    return tuple(module for module in found if module.split(".")[0] in ("pipeline", "stages"))


def exists(module: str) -> bool:
    base = ROOT.joinpath(*module.split("."))
    return module.split(".")[0] in ("pipeline", "stages") and (base.with_suffix(".py").is_file() or (base / "__init__.py").is_file())


def file_of(module: str) -> Path:
    base = ROOT.joinpath(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def is_docstring_only(path: Path) -> bool:
    return all(isinstance(node, ast.Expr) for node in ast.parse(path.read_text(encoding="utf-8")).body)


def sections_of_main(stage: str) -> set[str]:
    """What follows `params.` in the code of __main__.py (not in its prose): "clip", or "audio.sample_rate_hz" for one value alone."""
    code = "\n".join(ast.unparse(statement) for statement in ast.parse(main_text(stage)).body[1:])  # the first is the docstring
    found = set(re.findall(r"\bparams\.([a-z_]+(?:\.[a-z_]+)*)", code))
    return {name for name in found if not any(other.startswith(f"{name}.") for other in found)}


def main_text(stage: str) -> str:
    return (ROOT / "stages" / stage / "__main__.py").read_text(encoding="utf-8")
