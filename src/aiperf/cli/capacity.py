"""`aiperf plan`: what a load takes, before any of it is sent.

Owns: the flags' way to a plan without endpoint and model, the page, the exit code. Does not own: needs and judgement
(`aiperf.deploy.local_plan`), sizes of pods (`aiperf.deploy.kubernetes.sizing`).
"""

import os
import secrets
import shlex
import textwrap
from collections.abc import Iterator, Sequence

from aiperf.cli.flags import CONFIG_FLAGS, OF_AN_ENDPOINT, plan_from_argv
from aiperf.deploy.costs import NOMINAL_OUTPUT_TOKENS, NOMINAL_REQUEST_S
from aiperf.deploy.kubernetes.plan_screen import sizing_text
from aiperf.deploy.kubernetes.sizing import size_run
from aiperf.deploy.local_plan import LocalPlan, PlanRow, local_plan
from aiperf.deploy.machine_room import this_room
from aiperf.deploy.planned_load import PlannedLoad, planned_load
from aiperf.endpoint.reach import source_problems
from aiperf.endpoint.target import Target
from aiperf.errors import ExitCode, PlanError
from aiperf.plan.fields import FLAGS
from aiperf.plan.origins import DEFAULT, is_given
from aiperf.plan.plan import Plan, settled
from aiperf.plan.source_address import source_addresses
from aiperf.schedule.phases import phases

HELP = """\
Usage: aiperf plan [FLAGS]

Tells what a load takes: workers, CPUs, memory, open files, ports and source addresses, beside what this machine has;
with --kubernetes, the pods and what they ask for. Nothing is sent, no endpoint is contacted, no cluster is needed.

It takes the flags of aiperf profile (aiperf profile --help tells them); a model and a URL may be left out.
  --ttft DURATION, --itl DURATION, --osl TOKENS
      How fast the service is expected to be, and how long its answers: then the pace is known, and with it the CPUs.
      aiperf profile takes them too, and tells in the end what was promised and what was reached.

Examples:
  aiperf plan --concurrency 5000 --streaming --osl 200 --ttft 500ms --itl 30ms
  aiperf plan --kubernetes --concurrency 1000000 --streaming --osl 200 --ttft 500ms --itl 30ms

Exit code 0: it fits, as far as that can be known; 2: the flags are no plan; 3: this machine is too small.
"""

WIDTH = 100
_COLUMNS = (30, 24, 24)


def run(argv: Sequence[str]) -> int:
    """Raises: AIPerfError for whatever the user should read."""
    if any(word in ("--help", "-h") for word in argv):
        print(HELP, end="")
        return ExitCode.DONE
    plan, origins = plan_from_argv(argv, os.environ, needless=OF_AN_ENDPOINT)
    plan = settled(plan, drawn_seed=secrets.randbits(31))
    assert plan.input.random_seed is not None
    schedule = phases(plan, plan.input.random_seed)
    load = planned_load(plan, schedule)
    if plan.kubernetes.kubernetes:
        sizing = size_run(plan, schedule)
        print("\n".join([*_load_lines(plan, load), "", sizing_text(sizing), "", _command(argv)]))
        return ExitCode.DONE
    sources = source_addresses(plan.endpoint.source_addresses)
    urls = plan.endpoint.urls if is_given(origins, "urls") else ()
    targets = [Target.from_url(url, insecure=True) for url in urls]  # no certificate is looked at here
    origin = origins.get("source_addresses", DEFAULT)
    if problems := source_problems(sources=sources, targets=targets, origin=origin):
        raise PlanError(*problems)
    planned = local_plan(load, plan.services, this_room(), max(1, len(sources)))
    print("\n".join([*_load_lines(plan, load), "", *_table(planned), *_advice(planned), "", _command(argv)]))
    return ExitCode.DONE if planned.fits else ExitCode.INFRASTRUCTURE


def _load_lines(plan: Plan, load: PlannedLoad) -> Iterator[str]:
    """The heaviest moment, and what it was counted from."""
    guess = "" if load.connections_known else f" (a guess: {NOMINAL_REQUEST_S} s a request)"
    parts = [f"{load.connections:,} connections at once{guess}"]
    if load.requests_per_s is not None:
        parts.append(f"{_number(load.requests_per_s)} requests/s")
    if load.chunks_per_s is not None and load.chunks_per_request != 1:
        parts.append(f"{_number(load.chunks_per_s)} chunks/s")
    if load.requests:
        parts.append(f"{load.requests:,} requests {'in all' if load.requests_known else 'or more'}")
    yield from _labelled("Load", "; ".join(parts))
    expected = {"TTFT": plan.expectation.expected_ttft, "ITL": plan.expectation.expected_itl}
    told = [f"{name} {text}" for name, text in expected.items() if text]
    if load.request_s is not None:
        length = "" if load.output_tokens_known else " (a guess: --osl says it)"
        tokens = plan.input.osl_mean_tokens if load.output_tokens_known else NOMINAL_OUTPUT_TOKENS
        told.append(f"{tokens} output tokens{length}: {load.request_s:,.2f} s a request")
    if told:
        yield from _labelled("Expected", ", ".join(told))
    if plan.expectation.costs_from is not None:
        factors = ", ".join(
            f"{kind.replace('_', ' ')} {factor:.2f}" for kind, factor in load.cpu_factors._asdict().items()
        )
        yield from _labelled("CPU times", f"by {plan.expectation.costs_from}, times the usual ones: {factors}")
    if load.request_s is None:
        yield from _labelled("Not known", "how long a request takes: --ttft, --itl and --osl say it")


def _table(planned: LocalPlan) -> Iterator[str]:
    yield _row("", "needed", "this machine has", "enough")
    for row in planned.rows:
        yield _row(row.what, row.needed, row.has, _enough(row))
        yield from (_row(f"  {name}", text, "", "") for name, text in row.parts)


def _row(*cells: str) -> str:
    """A cell that is too long pushes the next one on."""
    line = ""
    for cell, width in zip(cells, (*_COLUMNS, 0), strict=True):
        line += f"{cell:<{width - 1}} " if width else cell
    return line.rstrip()


def _enough(row: PlanRow) -> str:
    return {True: "yes", False: "NO", None: "?"}[row.enough]


def _advice(planned: LocalPlan) -> Iterator[str]:
    rows = [row for row in planned.rows if row.enough is not True and row.advice]
    if not planned.fits:
        yield from ("", "This machine is too small for the load. What to change:")
    elif rows:
        yield from ("", "It fits as far as that is known:")
    else:
        yield from ("", "It fits.")
    for row in rows:
        yield from textwrap.wrap(
            f"{row.what}: {row.advice}", WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
        )


def _command(argv: Sequence[str]) -> str:
    """What to type then; secrets are not repeated."""
    given = {word.partition("=")[0] for word in argv}
    names = {FLAGS[word].field.name for word in given if word in FLAGS}
    has_file = not given.isdisjoint(CONFIG_FLAGS)
    missing = [] if has_file or "models" in names else ["--model", "NAME"]
    missing += [] if has_file or "urls" in names else ["--url", "HOST:PORT"]
    words = ["aiperf", "profile", *missing, *_without_secrets(argv)]
    return f"{'Run it by':<11}{shlex.join(words)}"


def _without_secrets(argv: Sequence[str]) -> Iterator[str]:
    is_secret = False
    for word in argv:
        spelling, equals, _ = word.partition("=")
        if is_secret:
            yield "SECRET"
            is_secret = False
            continue
        is_secret = spelling in FLAGS and FLAGS[spelling].field.confidential
        if is_secret and equals:
            yield f"{spelling}=SECRET"
            is_secret = False
        else:
            yield word


def _labelled(label: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=f"{label:<11}", subsequent_indent=" " * 11, break_on_hyphens=False)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
