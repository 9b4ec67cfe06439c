"""The command `mmldm` (= `python -m pipeline`), run from the project's folder; its commands: `mmldm --help`."""

import argparse
import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

from pipeline.commands import OneLineParser, efficiency_options, evaluate_parser, export_parser, generate_parser
from pipeline.errors import RunError, UserError
from pipeline.preset import KEPT, NAMES, preset_headline, preset_text, use_preset
from pipeline.progress import human_seconds, say
from pipeline.quiet import silence_tools

ROOT = Path(".")
OF_STAGES = {
    "generate": ("stages.sample.generate", generate_parser, "make videos with sound: from a class, a text, a sound, a picture or a video"),
    "export": ("stages.sample.export", export_parser, "write the trained networks as one folder, for use on another machine"),
    "evaluate": ("stages.evaluate.folders", evaluate_parser, "measure any two folders of videos by a protocol, without the pipeline"),
}
"""Commands that a stage's package holds: started as a process of their own, with the rest of the command line."""


def main(arguments: list[str] | None = None) -> None:
    """Run one command; a user's mistake is one line on stderr and exit code 1."""
    silence_tools()
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] in OF_STAGES:
        sys.exit(start_of_stage(*arguments))
    chosen = parser().parse_args(arguments)
    try:
        chosen.run(chosen)
    except UserError as error:
        sys.exit(f"{chosen.command}: {error}")
    except KeyboardInterrupt:
        if chosen.command == "retrain":
            print(f"{chosen.command}: stopped; what is finished is kept, go on with: mmldm {chosen.command}", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # `mmldm preset show demo | head`
        sys.stderr.close()


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = OneLineParser(prog="mmldm", description="From a folder of videos with sound to generated ones; run it in the project.")
    commands = top.add_subparsers(dest="command", required=True, metavar="command")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text)

    command("check", "look at params.yaml, the data, the disk and locks before a run").set_defaults(run=check)
    reproduction = command("reproduce", "run every stage that is not up to date, as a Prefect flow")
    reproduction.set_defaults(run=reproduce)
    reproduction.add_argument("--to", metavar="STAGE", help="only this stage and what it needs")
    reproduction.add_argument("--from", dest="start", metavar="STAGE", help="only this stage and what comes after it")
    reproduction.add_argument("--force", metavar="STAGE", action="append", default=[], help="run it although it is up to date")
    reproduction.add_argument("--dry-run", action="store_true", help="say what would run and why, and run nothing")
    retraining = command("retrain", "take what has arrived in data/incoming, train in a copy, promote the new model if it wins")
    retraining.add_argument("--again", action="store_true", help="train and decide also when no data is new")
    retraining.set_defaults(run=retrain)
    registry = command("registry", "models and decisions of retrain").add_subparsers(dest="action", required=True, metavar="action")
    registry.add_parser("list", help="a line for each model and each change of champion").set_defaults(run=registry_list)
    registry.add_parser("rollback", help="make the champion before this one champion again").set_defaults(run=registry_rollback)
    for name, run, text in (("show", registry_show, "all that is known of it"), ("promote", registry_promote, "make it champion")):
        action = registry.add_parser(name, help=text)
        action.add_argument("model", metavar="MODEL", help="such as model-0003")
        action.set_defaults(run=run)
    service = command("serve", "run it on a schedule, with Prefect's page to watch it, until stopped")
    service.set_defaults(run=serve)
    service.add_argument("--flow", choices=("retrain", "reproduce"), default="retrain", help="what runs; without: retrain")
    service.add_argument("--cron", metavar="LINE", help='five fields, for instance "0 3 * * *"; without: started by hand only')
    service.add_argument("--timezone", metavar="NAME", help="for instance Europe/Berlin; without: this machine's")
    schedules = command("schedule", "look at what mmldm serve runs, or change it")
    actions = schedules.add_subparsers(dest="action", required=True, metavar="action")
    for name, text in (("show", "next time and last runs"), ("pause", "no run by itself"), ("resume", "on its schedule again"),
                       ("run", "start one now")):
        actions.add_parser(name, help=text).set_defaults(run=schedule)
    command("look", "say where the results are, and the figures").set_defaults(run=look)
    presets = command("preset", "list, show or use a ready params.yaml").add_subparsers(dest="action", required=True, metavar="action")
    presets.add_parser("list", help="one line each").set_defaults(run=preset_list)
    for name, run, text in (("show", preset_show, "print the file"), ("use", preset_use, "write it to params.yaml; data.raw stays")):
        action = presets.add_parser(name, help=text)
        action.add_argument("name", metavar="NAME", help=", ".join(NAMES))
        action.set_defaults(run=run)
    sweeps = command("sweep", "print or queue the rows of a table of the paper as DVC experiments, on top of params.yaml")
    sweeps.add_argument("name", metavar="NAME", help="ablation, sensitivity, or a YAML file of the same form")
    sweeps.add_argument("-S", dest="extra", metavar="KEY=VALUE", action="append", default=[], help="set a parameter in every row")
    what = sweeps.add_mutually_exclusive_group()
    what.add_argument("--print", action="store_true", help="print each row's command (the default)")
    what.add_argument("--queue", action="store_true", help="hand the rows to DVC's queue; nothing runs before: dvc queue start")
    sweeps.set_defaults(run=sweep)
    tables = command("table", "a table of the paper with this run's figures beside the printed ones; table 2 is measured")
    tables.add_argument("number", type=int, choices=(1, 2, 4, 5, 6), metavar="N",
                        help="1 results, 2 efficiency of this machine, 4 sizes, 5 ablation, 6 loss weights")
    efficiency_options(tables.add_argument_group("table 2"))
    tables.set_defaults(run=table)
    for name, (_, _, text) in OF_STAGES.items():
        command(name, text)
    return top


def start_of_stage(name: str, *arguments: str) -> int:
    """Run one of `OF_STAGES` and return its exit code; Ctrl-C reaches it by itself. Options that cannot be are told before."""
    module, options, _ = OF_STAGES[name]
    options().parse_args(arguments)
    process = subprocess.Popen([sys.executable, "-m", module, *arguments])
    while True:
        with contextlib.suppress(KeyboardInterrupt):
            return process.wait()


def check(_: argparse.Namespace) -> None:
    from pipeline.check import check_project

    for line in check_project(ROOT):
        say("check", line)


def reproduce(chosen: argparse.Namespace) -> None:
    from pipeline.check import check_project
    from pipeline.graph import load_graph
    from pipeline.params import load_params
    from pipeline.plan import Selection, make_plan

    started = time.monotonic()
    check_project(ROOT)
    selection = Selection(chosen.to, chosen.start, tuple(chosen.force))
    plan = make_plan(ROOT, load_graph(ROOT), selection)
    if plan.left:
        say("reproduce", f"left as they are, though not up to date: {', '.join(plan.left)}")
    if not plan.run:
        say("reproduce", f"nothing to do, all {len(plan.fresh)} stages are up to date; see: mmldm look")
        return
    if chosen.dry_run:
        for name in plan.run:
            print(f"{name:<12} {plan.reasons[name]}")
    say("reproduce", f"to run: {', '.join(plan.run)} | up to date: {', '.join(plan.fresh) or 'none'}")
    if not chosen.dry_run:
        from pipeline.flows.here import reproduce_here

        closing = reproduce_here(ROOT.resolve(), selection, plan, load_params(ROOT / "params.yaml").flow)
        say("reproduce", f"done in {human_seconds(time.monotonic() - started)} | {closing}")


def serve(chosen: argparse.Namespace) -> None:
    from pipeline.check import check_project
    from pipeline.flows.here import serve_here
    from pipeline.params import load_params

    check_project(ROOT)
    serve_here(ROOT.resolve(), chosen.flow, chosen.cron, chosen.timezone, load_params(ROOT / "params.yaml").flow)


def schedule(chosen: argparse.Namespace) -> None:
    from pipeline.flows.here import schedule_here

    print(schedule_here(ROOT.resolve(), chosen.action))


def retrain(chosen: argparse.Namespace) -> None:
    from pipeline.retrain.cycle import idle

    outcome = None if chosen.again else idle(ROOT)
    if outcome is None:
        from pipeline.flows.server import connect
        from pipeline.flows.settings import prepare_prefect
        from pipeline.params import load_params

        prepare_prefect(ROOT)
        server = connect(ROOT, load_params(ROOT / "params.yaml").flow)
        from pipeline.flows.retrain import retrain as flow

        server.wait()
        say("retrain", f"to watch it while it runs: {server.page}")
        outcome = flow(ROOT.resolve(), chosen.again)
    from pipeline.retrain.told import outcome_lines

    for line in outcome_lines(outcome):
        say("retrain", line)
    if outcome.not_pushed:
        raise RunError(f"{outcome.not_pushed}; all is kept here, and the next run sends it: mmldm retrain")


def require_project() -> None:
    """Raises:
        RunError: this is another folder, of which "nothing there yet" would be the wrong answer.
    """
    if not (ROOT / "dvc.yaml").is_file():
        raise RunError("this folder is no MM-LDM project (it has no dvc.yaml); run it in the project's folder")


def registry_list(_: argparse.Namespace) -> None:
    from pipeline.retrain.registry import read_registry, table_lines

    require_project()
    print("\n".join(table_lines(read_registry(ROOT))))


def registry_show(chosen: argparse.Namespace) -> None:
    from pipeline.retrain.registry import read_registry
    from pipeline.retrain.told import model_lines

    print("\n".join(model_lines(read_registry(ROOT), chosen.model)))


def registry_rollback(_: argparse.Namespace) -> None:
    from pipeline.retrain.by_hand import rollback

    say("registry", rollback(ROOT))


def registry_promote(chosen: argparse.Namespace) -> None:
    from pipeline.retrain.by_hand import promote

    say("registry", promote(ROOT, chosen.model))


def look(_: argparse.Namespace) -> None:
    from pipeline.look import where_to_look

    require_project()
    print("\n".join(where_to_look(ROOT)))


def sweep(chosen: argparse.Namespace) -> None:
    from pipeline.sweep import load_sweep, parse_extra, queue_sweep, shown

    found = load_sweep(chosen.name, ROOT / "params.yaml", parse_extra(chosen.extra))
    if not chosen.queue:
        print("\n".join(shown(found)))
        return
    queue_sweep(ROOT, found)
    for name, why in found.left_out.items():
        say("sweep", f"left out: {name} ({why})")
    say("sweep", f"{len(found.rows)} rows are queued: {', '.join(row.name for row in found.rows)}")
    say("sweep", "run them: dvc queue start | look: dvc queue status | compare: dvc exp show --only-changed")


def table(chosen: argparse.Namespace) -> None:
    from pipeline.paper_tables import efficiency, table_lines

    require_project()
    if chosen.number != 2:
        print("\n".join(table_lines(chosen.number, ROOT)))
        return
    command = [sys.executable, "-m", "stages.efficiency", "--batch", str(chosen.batch), "--steps", str(chosen.steps)]
    measured = subprocess.run([*command, *(["--no-search"] if chosen.no_search else [])], stdout=subprocess.PIPE, text=True)
    if measured.returncode:
        sys.exit(measured.returncode)  # it has said why
    print("\n".join(efficiency(json.loads(measured.stdout))))


def preset_list(_: argparse.Namespace) -> None:
    for name in NAMES:
        print(f"{name:<10} {preset_headline(name)}")


def preset_show(chosen: argparse.Namespace) -> None:
    print(preset_text(chosen.name), end="")


def preset_use(chosen: argparse.Namespace) -> None:
    require_project()
    used = use_preset(chosen.name, ROOT / "params.yaml")
    if used.kept:
        say("preset", f"the edits in params.yaml are kept in {KEPT}")
    say("preset", f"params.yaml is {chosen.name} now, data.raw {used.raw}")
    if not chosen.name.startswith("demo") and used.raw.startswith("data/demo_data"):
        say("preset", f"{chosen.name} is meant for its own videos: set data.raw in params.yaml to your folder <class>/<file>")
