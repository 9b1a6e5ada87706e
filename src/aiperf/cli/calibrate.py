"""`aiperf calibrate`: what this side itself adds at a load, and how much it can carry. No endpoint is needed.

Owns: the way from its arguments to a plan, its help. Does not own: running it (`profile`), the calibration.
"""

import os
from collections.abc import Sequence

from aiperf.cli.flags import OF_AN_ENDPOINT, plan_from_argv
from aiperf.cli.profile import run_plan
from aiperf.errors import ExitCode
from aiperf.plan.origins import is_given

HELP = """\
Usage: aiperf calibrate [FLAGS]

Runs the load against a built-in server of known latency, and tells how far what is measured here lies from what the
server did: this side's own error, at this load and at others, and the largest load it can carry truthfully. With
--kubernetes, on worker pods. No endpoint is contacted and no model is needed. It takes a minute or so.

It takes the flags of aiperf profile (aiperf profile --help tells them). Those that shape it:
  --concurrency N, --request-rate RPS, --streaming, --isl TOKENS, --osl TOKENS, --workers-max N
      The load to begin with; from there it is doubled or halved until its limit is found.
  --calibrate-ttft DURATION, --calibrate-itl DURATION
      What the built-in server does (200ms, 20ms).
  --calibrate-duration SECONDS
      How long each load is tried (5).

Examples:
  aiperf calibrate --concurrency 100 --streaming
  aiperf calibrate --request-rate 500 --streaming --osl 20 --calibrate-ttft 100ms
  aiperf calibrate --kubernetes --concurrency 10000 --streaming

Before a benchmark: aiperf profile … --calibrate.
"""


def run(argv: Sequence[str]) -> int:
    """Raises: AIPerfError for whatever the user should read."""
    if any(word in ("--help", "-h") for word in argv):
        print(HELP, end="")
        return ExitCode.DONE
    plan, origins = plan_from_argv([*argv, "--calibrate-only"], os.environ, needless=OF_AN_ENDPOINT)
    if not is_given(origins, "models") and not is_given(origins, "tokenizer"):
        plan = plan.model_copy(update={"tokenizer": plan.tokenizer.model_copy(update={"tokenizer": "builtin"})})
    return run_plan(plan, origins)
