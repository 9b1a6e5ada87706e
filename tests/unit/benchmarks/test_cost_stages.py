"""The benchmark of the pipeline's cost counts each sampled stack to one stage."""

from pathlib import Path

import pytest
from cost_stages import COLLECTION, IMPORTS, LOOP, MODULES, PREFIXES, WAIT, stage, stages

import aiperf

ENTRY = "<module> (aiperf/__main__.py:9);run (aiperf/service/host.py:1)"
SOURCES = Path(aiperf.__file__).parents[1]


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ("Runner.run (asyncio/runners.py:118);uv_run (core.c:464)", LOOP),
        ("Runner.run (asyncio/runners.py:118);uv__io_poll (linux.c:1452);epoll_pwait (libc.so.6)", WAIT),
        ("_worker (concurrent/futures/thread.py:81);PyThread_acquire_lock_timed (libpython.so);0x7 (libc.so.6)", WAIT),
        ("Sender.send (aiperf/endpoint/sender.py:61);sock_send (socketmodule.c:1);send (libc.so.6)", "kernel: send"),
        ("Epoll.ready (aiperf/endpoint/selector.py:82);epoll_wait (libc.so.6)", "kernel: epoll_wait"),
        ("send (aiperf/record/slices.py:1)", "slices written"),
        ("RecordAssembler.add (aiperf/record/assembly.py:148)", "records built"),
        ("facts_array (aiperf/record/facts.py:120);stack (numpy/_core/shape_base.py:465)", "records built"),
        ("ZmqPort.send (aiperf/wire/zmq_wire.py:98);zmq::socket_base_t::send(int) (libzmq.so)", "IPC"),
        ("f (aiperf/service/worker.py:1);g (aiperf/endpoint/framing.py:1)", "HTTP framing"),
        ("f (aiperf/service/run_end.py:1)", "other"),
        ("f (aiperf/metrics/summary.py:1);_find_and_load (<frozen importlib._bootstrap>:1178)", IMPORTS),
        ("f (aiperf/metrics/summary.py:1);gc_collect_main (libpython3.11.so.1.0)", COLLECTION),
        ("no frame", LOOP),
    ],
)
def test_a_stack_counts_to_the_kernels_call_or_to_the_innermost_frame_of_aiperf(frames, expected):
    assert stage(f"{ENTRY};{frames}") == expected


def test_samples_of_a_stage_add_up_and_none_is_lost():
    line = f"{ENTRY};f (aiperf/record/assembly.py:1)"
    counts = stages([f"{line} 3\n", f"{line};add (aiperf/record/answer.py:1) 4", f"{ENTRY} 2", ""])
    assert counts == {"records built": 7, LOOP: 2}


def test_modules_and_paths_with_a_stage_of_their_own_exist():
    files = [str(file.relative_to(SOURCES)) for file in (SOURCES / "aiperf").rglob("*.py")]
    assert all(f"aiperf/endpoint/{module}.py" in files for module in MODULES)
    assert all(any(file.startswith(prefix) for file in files) for prefix in PREFIXES)
