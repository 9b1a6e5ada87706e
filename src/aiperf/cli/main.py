"""The `aiperf` command: which command runs, and what its end means to the shell.

Owns: the table of commands, the outermost handlers, the exit code. Does not own: what the commands do.

Each command is imported when it is asked for: `aiperf --help` answers at once, without numpy, pydantic or ZeroMQ.
"""

import contextlib
import gc
import io
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from aiperf import __version__
from aiperf.errors import AIPerfError, ExitCode, PlanError, Problem
from aiperf.plan.spelling import did_you_mean

HELP = ("--help", "-h")

LIBRARY_SETTINGS = {
    # Nothing here multiplies matrices, yet numpy would start a thread for each CPU: 70 ms of CPU time on two.
    "OPENBLAS_NUM_THREADS": "1",
    # Tables here grow by doubling. A huge page is zeroed and resident when its first byte is touched: a run of 200,000
    # requests took 70 MB and 0.3 s of CPU time more.
    "NUMPY_MADVISE_HUGEPAGE": "0",
    # Looking for plugins reads the metadata of every installed package: 11 ms.
    "PYDANTIC_DISABLE_PLUGINS": "__all__",
}
"""What libraries read from the environment when they are imported. What the user has set stands."""


class Command(NamedTuple):
    run: Callable[[Sequence[str]], int]
    summary: str
    hidden: bool = False
    """Started by aiperf itself, not by people."""


def profile(argv: Sequence[str]) -> int:
    if any(word in HELP for word in argv):
        from aiperf.cli.help import print_profile_help  # loads pydantic, but not what runs a benchmark

        return print_profile_help()
    with _no_collections():
        from aiperf.cli.profile import run  # loads nearly everything there is

    return run(argv)


@contextlib.contextmanager
def _no_collections() -> Iterator[None]:
    """While modules are loaded: what they make stays, and to look through it again and again takes 40 ms of 430.

    Afterwards the collector is on, and what is there then is left out of its rounds.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def mock_server(argv: Sequence[str]) -> int:
    from aiperf.mock.command import run  # loads uvloop and httptools

    return run(argv)


def service(argv: Sequence[str]) -> int:
    # The first process of a container is deaf to signals that it has no handler for, and loading takes a second or
    # more: a pod that is deleted meanwhile would live on until the end of its grace.
    signal.signal(signal.SIGTERM, _leave_at_once)
    with _no_collections():
        from aiperf.cli.service import run  # loads nearly everything there is

    return run(argv)


def _leave_at_once(number: int, _: object) -> None:
    os._exit(128 + number)


def kube(argv: Sequence[str]) -> int:
    from aiperf.cli.kube.command import run  # its commands load what they need

    return run(argv)


def calibrate(argv: Sequence[str]) -> int:
    from aiperf.cli.calibrate import run  # loads nearly everything there is

    return run(argv)


def plan(argv: Sequence[str]) -> int:
    from aiperf.cli.capacity import run  # loads pydantic, but not what runs a benchmark

    return run(argv)


COMMANDS = {
    "profile": Command(profile, "Measure an endpoint under load."),
    "plan": Command(plan, "Tell what a load takes, before it is sent."),
    "calibrate": Command(calibrate, "Find out what this side adds to what it measures, and how much it can carry."),
    "mock-server": Command(mock_server, "Serve an endpoint of known latency, to try aiperf on."),
    "kube": Command(kube, "Look after benchmarks in a Kubernetes cluster."),
    "service": Command(service, "Host services of a run.", hidden=True),
}


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command, after whatever went wrong was told on stderr."""
    for name, value in LIBRARY_SETTINGS.items():
        os.environ.setdefault(name, value)
    _open_what_is_closed()
    _never_fail_on_a_letter()
    try:
        code = _dispatch(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except AIPerfError as error:
        _tell(error_text(error))
        return error.exit_code
    except KeyboardInterrupt:
        _tell("aiperf: interrupted")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        if not _stdout_has_no_reader():
            return _tell_bug()
        return ExitCode.OUTPUT_CLOSED
    except OSError as error:
        if not _stdout_takes_nothing():
            return _tell_bug()
        _tell(f"aiperf: error: the output cannot be written: {error.strerror}")
        return ExitCode.INFRASTRUCTURE
    except Exception:  # noqa: BLE001 - the outermost edge: whatever comes here is a bug, and is told as one
        return _tell_bug()
    return code


def _dispatch(words: Sequence[str]) -> int:
    if not words:
        print(help_text(), file=sys.stderr)
        return ExitCode.USAGE
    name, *rest = words
    if name in HELP:
        print(help_text())
        return ExitCode.DONE
    if name in ("--version", "-V"):
        print(f"aiperf {__version__}")
        return ExitCode.DONE
    if name in COMMANDS:
        return COMMANDS[name].run(rest)
    if name.startswith("-"):
        raise PlanError(Problem("a command comes first", name, f"Write aiperf profile {name} …"))
    hint = did_you_mean(name, _shown_commands()) or f"Commands: {', '.join(_shown_commands())}."
    raise PlanError(Problem("there is no such command", name, hint))


def _shown_commands() -> list[str]:
    return [name for name, command in COMMANDS.items() if not command.hidden]


def help_text() -> str:
    """What `aiperf --help` prints."""
    width = max(map(len, _shown_commands()))
    rows = [f"  {name:{width}}  {COMMANDS[name].summary}" for name in _shown_commands()]
    return "\n".join(
        [
            "aiperf load-tests an OpenAI-compatible LLM endpoint and tells the truth about it.",
            "",
            "Usage: aiperf COMMAND [FLAGS]",
            "",
            "Commands:",
            *rows,
            "",
            "aiperf COMMAND --help tells a command's flags. aiperf --version tells the version.",
            "",
            "A first benchmark:",
            "  aiperf profile --model NAME --url localhost:8000 --streaming --concurrency 10",
        ]
    )


def error_text(error: AIPerfError) -> str:
    """The error as people read it: one line and its hint, or a list when there are several problems."""
    if not isinstance(error, PlanError) or len(error.problems) == 1:
        return f"aiperf: error: {error}"
    problems = "\n".join(str(problem) for problem in error.problems).replace("\n", "\n  ")
    return f"aiperf: error: {len(error.problems)} problems\n  {problems}"


def _tell(text: str) -> None:
    with contextlib.suppress(OSError):  # a terminal that is gone: there is nobody to tell, and nothing to be done
        print(text, file=sys.stderr, flush=True)


def _tell_bug() -> int:
    _tell(
        f"{traceback.format_exc()}aiperf: this is a bug in aiperf {__version__}, not a fault of yours. Please report "
        "it to the project, with the lines above and the command."
    )
    return ExitCode.BUG


def _stdout_has_no_reader() -> bool:
    """Whether what is left to print has nowhere to go (`aiperf … | head`). If so, it is thrown away.

    A broken pipe may also come from a socket that nobody looked after, and that is a bug.
    """
    descriptor = sys.stdout.fileno()
    poll = select.poll()
    poll.register(descriptor, 0)  # errors and hang-ups are told unasked
    if not poll.poll(0):
        return False
    _throw_away_stdout()
    return True


def _stdout_takes_nothing() -> bool:
    """Whether what is left to print cannot be written (a full disk, a lost terminal). If so, it is thrown away."""
    try:
        sys.stdout.write("\n")  # what failed before may not be in the buffer any more
        sys.stdout.flush()
    except OSError:
        _throw_away_stdout()
        return True
    return False


def _throw_away_stdout() -> None:
    # Else the interpreter would try once more while it exits, and complain. Source: Python's note on SIGPIPE.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_what_is_closed() -> None:
    """Points standard streams that the caller closed (`>&-`) to nowhere.

    Python has no object for such a stream, and the next file or socket would get its descriptor, and what is printed.
    """
    for descriptor, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != descriptor:
                os.dup2(nowhere, descriptor)
                os.close(nowhere)
            setattr(sys, name, os.fdopen(descriptor, "w" if descriptor else "r", encoding="utf-8"))


def _never_fail_on_a_letter() -> None:
    """A terminal that cannot show a letter shows a question mark instead."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
