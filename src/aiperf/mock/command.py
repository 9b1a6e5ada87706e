"""`aiperf mock-server`: flags → a running mock server.

Owns: the flags and their explanation. Does not own: what they mean (`behaviour`, `faults`).
"""

import argparse
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path

from aiperf.errors import AIPerfError, ExitCode, PlanError, Problem
from aiperf.mock.behaviour import Behaviour
from aiperf.mock.faults import KNOWN, Fault, Faults, parse_faults
from aiperf.mock.processes import Deployment, run_server
from aiperf.units import NS_PER_MS, ns_from_s

DESCRIPTION = """\
An OpenAI-compatible inference server of exactly known latency. Each answer's writes are due at fixed times after the
kernel's receive stamp of the request; --truth-log writes down when they were really sent.

Endpoints: POST /v1/chat/completions, POST /v1/completions (with and without "stream"), GET /v1/models, GET /health.
"""

HEADERS = """\
request headers that change one answer:
  x-mock-fault: SPEC[, SPEC...]      faults, spelled as for --fault; they come before those of the flags
  x-mock-ttft: MS, x-mock-itl: MS    its own delays
  x-mock-prompt-tokens: N            what usage.prompt_tokens shall say; else the prompt's words are counted, taken as
                                     separated by single blanks
  x-request-id: ID                   its name in the truth log
"""


def run(argv: Sequence[str]) -> int:
    """Serves until SIGTERM or SIGINT. Returns the exit code: 0, 2 for bad flags, 3 if the port is taken."""
    parser = build_parser()
    try:
        options = parser.parse_args(list(argv))
    except SystemExit as ended:  # argparse has already said why
        return int(ended.code or 0)
    try:
        run_server(_deployment(options), _behaviour(options))
    except AIPerfError as error:
        print(f"aiperf mock-server: {error}", file=sys.stderr)
        return int(error.exit_code)
    return int(ExitCode.DONE)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aiperf mock-server",
        description=DESCRIPTION,
        epilog=f"{_fault_help()}\n{HEADERS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_place(parser.add_argument_group("where"))
    _add_answer(parser.add_argument_group("what is answered"))
    _add_latency(parser.add_argument_group("when"))
    _add_misbehaviour(parser.add_argument_group("misbehaviour and limits"))
    return parser


def _fault_help() -> str:
    lines = ["faults (NAME[;PARAMETER=NUMBER]..., each also takes rate=FRACTION; quote the semicolons):"]
    for name, (parameters, meaning) in KNOWN.items():
        spelled = ";".join((name, *(f"{parameter}=N" for parameter in parameters)))
        lines.append(f"  {spelled:<32} {meaning}")
    return "\n".join(lines) + "\n"


def _add_place(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--host", action="append", metavar="ADDRESS", help="address to listen on; repeatable (default 127.0.0.1)"
    )
    group.add_argument("--port", type=_port, default=0, help="0 picks a free one (default)")
    group.add_argument("--processes", type=_positive, default=1, metavar="N", help="server processes on the same port")
    group.add_argument("--tls-cert", type=Path, metavar="FILE", help="PEM certificate chain: serve HTTPS")
    group.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key, if it is in another file")
    group.add_argument(
        "--truth-log", type=Path, metavar="PATH", help="one JSON line per request; with several processes PATH.0, ..."
    )


def _add_answer(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--model", default="mock-model", help="name in /v1/models, and where a request gives none")
    group.add_argument(
        "--tokens", type=_count, default=50, metavar="N", help="length where a request sets no max_tokens (default 50)"
    )
    group.add_argument("--tokens-per-chunk", type=_positive, default=1, metavar="N", help="tokens in each event")
    group.add_argument(
        "--events-per-write", type=_positive, default=1, metavar="N", help="events held back until N can leave at once"
    )
    group.add_argument("--chunk-bytes", type=_count, default=0, metavar="N", help="pad each event to about N bytes")
    group.add_argument(
        "--role-chunk",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="begin chat streams with a chunk without text (default on)",
    )
    group.add_argument(
        "--role-chunk-early",
        action="store_true",
        help="send it with the response head at once, not with the first token",
    )
    group.add_argument(
        "--reasoning-tokens", type=_count, default=0, metavar="K", help="the first K tokens are reasoning"
    )
    group.add_argument("--tool-calls", action="store_true", help="answer with a tool call")
    group.add_argument("--no-usage", action="store_true", help="never report usage")


def _add_latency(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--ttft", type=_not_negative, default=0, metavar="MS", help="time to the first token")
    group.add_argument("--itl", type=_not_negative, default=0, metavar="MS", help="time between chunks")
    group.add_argument(
        "--grain", type=_not_negative, default=0, metavar="MS", help="a chunk waits so long for others (default 0)"
    )
    group.add_argument(
        "--latency", choices=("constant", "lognormal"), default="constant", help="lognormal draws; MS is then the mean"
    )
    group.add_argument("--ttft-sigma", type=_not_negative, default=0.5, metavar="S", help="spread (default 0.5)")
    group.add_argument("--itl-sigma", type=_not_negative, default=0.5, metavar="S", help="spread (default 0.5)")
    group.add_argument("--seed", type=_count, default=0, help="of draws and rates, in order of arrival per process")


def _add_misbehaviour(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--fault", action="append", type=_faults, default=[], metavar="SPEC", help="for all requests; see below"
    )
    group.add_argument("--error-rate", type=_fraction, default=0, metavar="FRACTION", help="requests that fail")
    group.add_argument("--error-status", type=_status, default=500, metavar="CODE", help="their status (default 500)")
    group.add_argument("--connection-close", action="store_true", help="close each connection after its answer")
    group.add_argument(
        "--stall-at",
        type=_not_negative,
        metavar="SECONDS",
        help="the whole server stops sending, so long after its first request",
    )
    group.add_argument("--stall-for", type=_not_negative, default=0, metavar="SECONDS", help="... for this time")
    group.add_argument("--auth-token", default="", metavar="TOKEN", help="401 without this bearer token")
    group.add_argument(
        "--slots",
        type=_count,
        default=0,
        metavar="N",
        help="requests served at once per process, the others queue (0: all)",
    )
    group.add_argument(
        "--idle-timeout", type=_not_negative, default=0, metavar="SECONDS", help="close idle kept-alive connections"
    )


def _behaviour(options: argparse.Namespace) -> Behaviour:
    faults: Faults = tuple(fault for each in options.fault for fault in each)
    if options.error_rate:
        faults += (Fault("error", status=options.error_status, rate=options.error_rate),)
    if options.connection_close:
        faults += (Fault("connection-close"),)
    return Behaviour(
        model=options.model,
        default_tokens=options.tokens,
        tokens_per_chunk=options.tokens_per_chunk,
        events_per_write=options.events_per_write,
        chunk_bytes=options.chunk_bytes,
        role_chunk=options.role_chunk,
        role_chunk_early=options.role_chunk_early,
        reasoning_tokens=options.reasoning_tokens,
        tool_calls=options.tool_calls,
        report_usage=not options.no_usage,
        ttft_ns=round(options.ttft * NS_PER_MS),
        itl_ns=round(options.itl * NS_PER_MS),
        grain_ns=round(options.grain * NS_PER_MS),
        lognormal=options.latency == "lognormal",
        ttft_sigma=options.ttft_sigma,
        itl_sigma=options.itl_sigma,
        seed=options.seed,
        faults=faults,
        stall_at_ns=-1 if options.stall_at is None else ns_from_s(options.stall_at),
        stall_for_ns=ns_from_s(options.stall_for),
        auth_token=options.auth_token,
        slots=options.slots,
        idle_timeout_ns=ns_from_s(options.idle_timeout),
    )


def _deployment(options: argparse.Namespace) -> Deployment:
    return Deployment(
        hosts=tuple(options.host or ("127.0.0.1",)),
        port=options.port,
        process_count=options.processes,
        tls=_tls_context(options.tls_cert, options.tls_key),
        truth_log=options.truth_log,
    )


def _tls_context(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Raises: PlanError if the files cannot be used."""
    if certificate is None:
        if key is not None:
            raise PlanError(Problem("a key without a certificate", "--tls-key", "give --tls-cert too"))
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError is one
        hint = "both must be PEM; a key in a file of its own needs --tls-key"
        raise PlanError(Problem(f"cannot use {certificate}: {error.strerror or error}", "--tls-cert", hint)) from error
    return context


# Types of flags. argparse turns their errors into a line that names the flag.


def _faults(text: str) -> Faults:
    try:
        return parse_faults(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _number_between(text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not low <= value <= high:
        limit = f"at least {low:g}" if high == float("inf") else f"between {low:g} and {high:g}"
        raise argparse.ArgumentTypeError(f"{text} is not {limit}")
    return value


def _whole_between(text: str, low: int, high: float) -> int:
    value = _number_between(text, low, high)
    if value != int(value):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number")
    return int(value)


def _not_negative(text: str) -> float:
    return _number_between(text, 0, 1e9)


def _fraction(text: str) -> float:
    return _number_between(text, 0, 1)


def _count(text: str) -> int:
    return _whole_between(text, 0, 1e12)


def _positive(text: str) -> int:
    return _whole_between(text, 1, 1e6)


def _port(text: str) -> int:
    return _whole_between(text, 0, 65535)


def _status(text: str) -> int:
    return _whole_between(text, 400, 599)
