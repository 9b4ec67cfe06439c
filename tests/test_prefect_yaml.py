"""prefect.yaml names flows that are there: pytest tests/test_prefect_yaml.py"""

import ast
from pathlib import Path

import yaml

from pipeline.flows.timetable import read_timetable

ROOT = Path(__file__).parents[1]


def test_entrypoints_are_flows_with_the_parameters_that_are_given_and_no_schedule_is_on() -> None:
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert [deployment["entrypoint"] for deployment in deployments] == ["pipeline/flows/retrain.py:retrain",
                                                                        "pipeline/flows/reproduce.py:reproduce"]
    for deployment in deployments:
        file, name = deployment["entrypoint"].split(":")
        flow, = (node for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.FunctionDef) and node.name == name)
        assert set(deployment["parameters"]) <= {argument.arg for argument in flow.args.args}
        assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}
        for schedule in deployment["schedules"]:
            read_timetable(schedule["cron"], schedule["timezone"])
            assert not schedule["active"]
