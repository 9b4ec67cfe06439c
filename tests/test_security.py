"""Nothing that comes from outside is run, and nothing is written outside: pytest tests/test_security.py"""

import ast
import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.contracts.clips import read_clips, read_rejected
from pipeline.contracts.outputs import stage_output
from pipeline.contracts.shards import INDEX, META, ShardReader
from pipeline.errors import DataError
from pipeline.params import load_params
from pipeline.workers import Workers
from stages.decode import decode
from stages.inventory import inventory
from tests.shards import write_shards

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((*(ROOT / "pipeline").rglob("*.py"), *(ROOT / "stages").rglob("*.py")))
RUNS_CODE = {"eval", "exec", "os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "pickle.load", "pickle.loads",
             "pickle.Unpickler", "marshal.loads", "shelve.open", "joblib.load", "pd.read_pickle", "pandas.read_pickle", "yaml.unsafe_load",
             "yaml.full_load", "torch.hub.load", "importlib.import_module", "__import__"}
UNPACKS = {"extract", "extractall", "unpack_archive"}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """(dotted name of what is called, the call) for every call in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def given(call: ast.Call, name: str) -> str | None:
    """A keyword argument as written."""
    return next((ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg == name), None)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_code_runs_what_it_reads(path: Path) -> None:
    for name, call in calls(path):
        where = f"{path.relative_to(ROOT)}:{call.lineno} {name}"
        assert name not in RUNS_CODE, where
        assert given(call, "shell") in (None, "False"), f"{where}: a shell would read names of files"
        assert given(call, "trust_remote_code") in (None, "False"), where
        assert name.split(".")[-1] not in UNPACKS, f"{where}: members may be called ../../x"
        if name == "torch.load":
            assert given(call, "weights_only") == "True", f"{where}: a pickle may run anything"
        if name in ("np.load", "numpy.load"):
            assert given(call, "allow_pickle") in (None, "False"), where
        if name == "yaml.load":
            module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
            assert issubclass(getattr(module, given(call, "Loader") or ""), (yaml.SafeLoader, yaml.CSafeLoader)), where


STRANGE = ["$(touch owned).mp4", "`touch owned`.mp4", "a;touch owned;.mp4", "-i.mp4", "|touch owned|.mp4", "con cat:x.mp4", "%d%s{}.mp4",
           "quote'\".mp4"]
LABELS = "path,class,split\n../../outside.mp4,a,train\n/etc/passwd,a,train\na/../../outside.mp4,a,\n"


def test_names_of_files_are_only_names(tmp_path: Path, make_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Through inventory and decode: no name runs anything or leads anywhere, and no label does."""
    project = tmp_path / "project"
    raw = project / "data/raw"
    first = make_clip(raw / "a" / "plain.mp4", 2.0)
    content = first.read_bytes()
    for number, name in enumerate(STRANGE):  # other bytes, the same picture: a box that readers of mp4 pass over
        (raw / "a" / name).write_bytes(content + (16).to_bytes(4, "big") + b"free" + number.to_bytes(8, "big"))
    (tmp_path / "outside.mp4").write_bytes(content + b"\0\0\0\x08free")
    (raw / "labels.csv").write_text(LABELS + "".join(f'"{path}",$(touch owned),\n' for path in ("a/plain.mp4",)))
    monkeypatch.chdir(project)
    params = load_params(ROOT / "tests/presets/tiny.yaml")
    before = sorted(path for path in tmp_path.rglob("*") if not path.is_relative_to(project / "data"))
    settings = {"labels": "labels.csv", "near_duplicates": False, "max_rejected_share": 1.0, "test_share": 0.5}
    changed = type(params.inventory)(**{name: settings.get(name, getattr(params.inventory, name)) for name in params.inventory.__slots__})
    make_clip(raw / "b" / "other.mp4", 2.0, tone_hz=700)
    with (raw / "labels.csv").open("a") as table:
        table.write("b/other.mp4,b,test\n" + "".join(f'"{"a/" + name.replace(chr(34), chr(34) * 2)}",a,\n' for name in STRANGE))
    inventory.run(seed=7, clip=params.clip, inventory=changed, workers=Workers(1), source=Path("data/raw"), out=Path("data/inventory"))
    clips, rejected = read_clips(Path("data/inventory")), read_rejected(Path("data/inventory"))
    assert set(clips["source_path"]) == {"b/other.mp4", "a/plain.mp4", *(f"a/{name}" for name in STRANGE)}
    assert sorted(rejected["reason"]) == ["path_leads_outside"] * 3
    decode.run(clip=params.clip, sample_rate_hz=16000, decode=params.decode, workers=Workers(1), source=Path("data/raw"),
               inventory=Path("data/inventory"), out=Path("data/decode"))
    assert len(ShardReader(Path("data/decode"))) == len(clips)
    assert not [path for path in tmp_path.rglob("owned*")]
    assert sorted(path for path in tmp_path.rglob("*") if not path.is_relative_to(project / "data")) == before


def test_an_index_cannot_name_a_file_elsewhere(tmp_path: Path) -> None:
    with stage_output(tmp_path / "decode", params={}, inputs={}, code=tmp_path) as work:
        write_shards(work, [("0123456789abcdef_000000", {META: {"split": "train"}})])
    index = tmp_path / "decode" / INDEX
    table = pq.read_table(index)
    place = table.schema.get_field_index("shard")
    pq.write_table(table.set_column(place, "shard", pa.array(["../../../../etc/passwd"])), index)
    with pytest.raises(DataError, match=r"names the shard '\.\./\.\./\.\./\.\./etc/passwd', which is no plain name"):
        ShardReader(tmp_path / "decode")[0]


def test_servers_are_for_this_machine_alone(tmp_path: Path) -> None:
    from pipeline.flows.settings import prepare_prefect

    environment: dict[str, str] = {"PATH": os.defpath}
    prepare_prefect(tmp_path, environment)
    assert environment["PREFECT_SERVER_API_HOST"] == "127.0.0.1"
    for path in SOURCES:
        assert '"0.0.0.0"' not in path.read_text(encoding="utf-8"), f"{path} listens to every network"
