"""Real processes on the real wire, each with a folder of its own and no other: as in pods, without a cluster."""

import asyncio
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from aiperf.cli.service import leave_for_services
from aiperf.deploy.layouts import local_layout
from aiperf.plan.plan import EndpointPlan, InputPlan, LoadPlan, Plan
from aiperf.report.summary_json import load_summary
from aiperf.service.layout import Apis, Layout
from aiperf.wire.bus import OPERATOR, Seat
from aiperf.wire.messages import RunFinished
from aiperf.wire.ports import Pattern
from aiperf.wire.zmq_wire import ZmqWire

HANG_S = 90
"""A guard, no measure of speed."""

HOST = """
import sys
from pathlib import Path
from aiperf.plan.dumps import load_dump
from aiperf.service.host import Equipment, log_guest, run_host, start_logging
from aiperf.service.layout import read_layout
host, folder = sys.argv[1], Path(sys.argv[2])
layout = read_layout(folder / "layout.json")
log_buffer = start_logging(layout, "debug", host)
guests = [] if log_buffer is None else [log_guest(log_buffer)]
sys.exit(run_host(host, layout, load_dump((folder / "plan.json").read_text()), equipment=Equipment(guests=guests)))
"""
"""What `aiperf service` does in a pod, without that which only a cluster gives."""

SECRET = "sk-not-for-any-log"


@pytest.fixture(scope="module")
def url(module_mock_server):
    return module_mock_server("--ttft", "10", "--itl", "5")


async def end_of_run(layout: Layout) -> RunFinished:
    wire = ZmqWire()
    try:
        seat = Seat(wire.connect(Pattern.DIALOGUE, layout.addresses["control"][-1], OPERATOR), OPERATOR)
        async with asyncio.timeout(HANG_S):
            while True:
                _, message = await seat.receive()
                if isinstance(message, RunFinished):
                    return message
    finally:
        wire.close()


async def test_hosts_with_nothing_in_common_but_the_wire_bring_lines_and_logs_home(tmp_path_factory, url):
    folder = tmp_path_factory.mktemp("s")  # short: the address of a socket has room for a hundred bytes
    plan = Plan(
        endpoint=EndpointPlan(models=("m",), urls=(url,), streaming=True, api_key=SECRET),
        input=InputPlan(isl_mean_tokens=8, osl_mean_tokens=4, entries_count=10),
        load=LoadPlan(concurrency=6, duration_s=3),
    )
    layout = local_layout(run_id="run", workers=2, processors=2, artifact_dir=folder, work_dir=folder, seed=1)
    layout = msgspec.structs.replace(layout, apis=Apis(run="https://elsewhere"))
    hosts: dict[str, subprocess.Popen] = {}
    for host in layout.hosts:
        own = folder / "hosts" / host.host_id
        own.mkdir(parents=True)
        places = {"artifact_dir": str(own / "artifacts"), "data_dir": str(own), "work_dir": str(own)}
        leave_for_services(msgspec.structs.replace(layout, **places), plan, own)
        command = [sys.executable, "-c", HOST, host.host_id, str(own)]
        hosts[host.host_id] = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        finished = await end_of_run(layout)
        assert finished.exit_code == 0, finished
        stderr = {
            name: (await asyncio.to_thread(process.communicate, None, HANG_S))[1] for name, process in hosts.items()
        }
    finally:
        for process in hosts.values():
            process.kill()
    summary = load_summary(Path(finished.summary_path))
    artifacts = folder / "hosts" / "control" / "artifacts"
    assert len((artifacts / "profile_export.jsonl").read_bytes().splitlines()) == summary.records.records > 0
    assert (summary.records.lost, summary.records.lines_lost) == (0, 0)
    log = (artifacts / "logs" / "aiperf.log").read_text()
    for name, text in stderr.items():
        assert f"runs {name}" in log if name != "control" else "runs system-controller" in log
        assert "Traceback" not in text
        own = [path for path in (folder / "hosts" / name).rglob("*") if path.is_file()]
        assert name == "control" or {path.name for path in own} == {"layout.json", "plan.json"}
    assert "slices go to record-processor-0" in log
    assert SECRET not in log + "".join(stderr.values())
