"""A project of stages that take no time: a clip is a file with a number, a model is the sum of them. python toy.py STAGE

What matters is there: a file that cannot be used, a persistent output, two trained stages, figures that depend on the model and
on the clips that it is measured with.
"""

import json
import shutil
import sys
from pathlib import Path

import yaml

STAGES = {  # what each reads, and whether its output is persistent
    "inventory": (["${data.raw}"], True), "klvae": (["data/inventory"], False), "encode": (["data/inventory", "data/klvae"], True),
    "dit": (["data/encode"], False), "sample": (["data/encode", "data/dit"], False), "evaluate": (["data/inventory", "data/sample"], False),
    "report": (["data/evaluate"], False)}


def inventory(raw: Path, out: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted(path.relative_to(raw).as_posix() for path in raw.rglob("*.mp4"))
    broken = [path for path in files if (raw / path).read_text().startswith("broken")]
    used = [path for path in files if path not in broken]
    pq.write_table(pa.table({"source_path": pa.array(used, pa.string())}), out / "clips.parquet")
    pq.write_table(pa.table({"source_path": pa.array(broken, pa.string()), "reason": pa.array(["not_media"] * len(broken), pa.string()),
                             "detail": pa.array(["a broken file"] * len(broken), pa.string())}), out / "rejected.parquet")
    (out / "numbers.json").write_text(json.dumps([float((raw / path).read_text()) for path in used]))


def klvae(inventory: Path, out: Path) -> None:
    (out / "scale.safetensors").write_text(str(len(numbers(inventory))))


def encode(inventory: Path, klvae: Path, out: Path) -> None:
    (out / "moments.json").write_text(json.dumps([(klvae / "scale.safetensors").read_text(), numbers(inventory)]))


def dit(encode: Path, out: Path) -> None:
    (out / "dit.safetensors").write_text(str(sum(json.loads((encode / "moments.json").read_text())[1])))


def sample(encode: Path, dit: Path, out: Path) -> None:
    (out / "sample.txt").write_text((dit / "dit.safetensors").read_text())


def evaluate(inventory: Path, sample: Path, out: Path) -> None:
    """The more a model has seen the better; each clip that it is measured with makes it look a little worse."""
    worth = float((sample / "sample.txt").read_text())
    svg = {"fvd_local": 1000 - worth + len(numbers(inventory)) / 100, "fad_local": 500 - worth}
    (out / "metrics.json").write_text(json.dumps({"demo": {"svg": svg}, "copied": float(worth == 13)}))


def report(evaluate: Path, out: Path) -> None:
    shutil.copy(evaluate / "metrics.json", out / "index.html")


def numbers(inventory: Path) -> list[float]:
    return json.loads((inventory / "numbers.json").read_text())


def main() -> None:
    name = sys.argv[1]
    raw = Path(yaml.safe_load(Path("params.yaml").read_text())["data"]["raw"])
    sources = [raw if dep.startswith("$") else Path(dep) for dep in STAGES[name][0]]
    out, whole = Path("data", f".{name}.tmp"), Path("data", name)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    globals()[name](*sources, out)
    shutil.rmtree(whole, ignore_errors=True)
    out.rename(whole)


if __name__ == "__main__":
    main()
