"""python -m stages.efficiency"""

import json
import sys
from pathlib import Path

from pipeline.commands import OneLineParser, efficiency_options
from pipeline.errors import UserError
from pipeline.params import load_params
from pipeline.quiet import silence_tools
from pipeline.stage import prepare_torch


def main() -> None:
    """Measure and print; a user's mistake is one line on stderr and exit code 1."""
    parser = OneLineParser(prog="stages.efficiency",
                           description="Seconds, memory and largest batches of training and sampling on this machine.")
    efficiency_options(parser)
    chosen = parser.parse_args()
    silence_tools()
    from stages.efficiency import measure

    try:
        params = load_params(Path("params.yaml"))
        prepare_torch(params.compute)
        found = measure(params, batch=chosen.batch, steps=chosen.steps, search=not chosen.no_search)
    except UserError as error:
        sys.exit(f"table: {error}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
