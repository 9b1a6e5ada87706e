"""The benchmark of the pipeline's cost counts each sampled stack to one stage."""

import re
from pathlib import Path

import pytest
from cost_stages import CALLS, IMPORTS, LOOP, MODULES, SOURCES, WAIT, stage, stages

ENTRY = "<module> (aiperf/__main__.py:9);run (aiperf/service/host.py:1)"
ENDPOINT = Path("aiperf/endpoint")


def line_with(path: Path, text: str) -> int:
    lines = (SOURCES / path).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def endpoint_files() -> list[Path]:
    return sorted((SOURCES / ENDPOINT).glob("*.py"))


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ("Runner.run (asyncio/runners.py:118)", LOOP),
        ("SliceWriter.take (aiperf/record/slices.py:146)", "slices written"),
        ("RecordAssembler.add (aiperf/record/assembly.py:148)", "records built"),
        ("facts_array (aiperf/record/facts.py:120);stack (numpy/_core/shape_base.py:465)", "records built"),
        ("ZmqPort.send (aiperf/wire/zmq_wire.py:98);send (zmq/sugar/socket.py:1)", "IPC"),
        ("f (aiperf/service/worker.py:1);g (aiperf/endpoint/framing.py:1)", "HTTP framing"),
        ("f (aiperf/service/run_end.py:1)", "other"),
        ("f (aiperf/metrics/summary.py:1);_find_and_load (<frozen importlib._bootstrap>:1178)", IMPORTS),
        ("_worker (concurrent/futures/thread.py:81)", WAIT),
        ("EpollSelector.select (selectors.py:468)", WAIT),
        ("no frame", LOOP),
    ],
)
def test_a_stack_counts_to_the_innermost_frame_of_aiperf(frames, expected):
    assert stage(f"{ENTRY};{frames}") == expected


@pytest.mark.parametrize("call", CALLS)
def test_each_call_into_the_kernel_stands_in_the_client_and_is_told_by_it(call):
    file = next(file for file in endpoint_files() if call in file.read_text())
    path = ENDPOINT / file.name
    assert stage(f"{ENTRY};f ({path}:{line_with(path, call)})") == CALLS[call]


def test_modules_with_a_stage_of_their_own_exist():
    assert set(MODULES) <= {file.stem for file in endpoint_files()}


def test_samples_of_a_stage_add_up_and_none_is_lost():
    line = f"{ENTRY};f (aiperf/record/assembly.py:1)"
    counts = stages([f"{line} 3\n", f"{line};add (aiperf/record/answer.py:1) 4", f"{ENTRY} 2", ""])
    assert counts == {"records built": 7, LOOP: 2}


def test_each_source_file_has_a_stage():
    for file in sorted((SOURCES / "aiperf").rglob("*.py")):
        assert re.search(r"\w", stage(f"f ({file.relative_to(SOURCES)}:1)"))
