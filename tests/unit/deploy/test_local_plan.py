"""What a load takes here, beside what there is."""

from pathlib import Path

import pytest

from aiperf.cli.flags import plan_from_argv
from aiperf.deploy.local_plan import LocalPlan, PlanRow, local_plan
from aiperf.deploy.machine_room import MachineRoom, this_room
from aiperf.deploy.planned_load import planned_load
from aiperf.schedule.phases import phases
from aiperf.service.machine import Machine

LARGE = MachineRoom(Machine(cpu_count=8, open_files=20_000), ports=28_232, memory_bytes=16_000_000_000)
SLOW = "--streaming --osl 4 --ttft 240s --itl 60s"
FAST = "--streaming --osl 101 --ttft 500ms --itl 30ms"


def planned(flags: str, room: MachineRoom = LARGE, addresses: int = 1) -> LocalPlan:
    plan, _ = plan_from_argv(["-m", "m", *flags.split()], {})
    return local_plan(planned_load(plan, phases(plan, 1)), plan.services, room, addresses)


def row(plan: LocalPlan, what: str) -> PlanRow:
    return next(row for row in plan.rows if row.what == what)


@pytest.mark.parametrize(
    ("flags", "room", "missing"),
    [
        (f"--concurrency 1000 {FAST}", LARGE, []),
        (f"--concurrency 20000 {FAST}", LARGE, ["CPU", "A worker's core"]),
        (f"--concurrency 1000000 {SLOW}", LARGE, ["Source addresses"]),
        (f"--concurrency 5000 {SLOW}", MachineRoom(Machine(8, 150), 28_232, 10**10), []),  # 100 small workers
        (f"--concurrency 7000 {SLOW}", MachineRoom(Machine(8, 150), 28_232, 10**10), ["Workers"]),
        (f"--concurrency 5 {SLOW}", MachineRoom(Machine(8, 90), 28_232, 10**10), ["Open files"]),
        (f"--concurrency 100000 {SLOW} -u a:1,b:1,c:1,d:1", LARGE, []),  # ports are counted for each server
        (f"--concurrency 9000 {SLOW}", MachineRoom(Machine(8, 20_000), 28_232, 10**8), ["Memory"]),
        (f"--concurrency 9000 {SLOW}", MachineRoom(Machine(8, 20_000), 28_232, None, 5_000), ["Tracked connections"]),
        ("--request-rate 600 --duration 9 --connection-reuse-strategy never", LARGE, ["Source addresses"]),
        ("--concurrency 1000", LARGE, []),
    ],
)
def test_what_is_not_enough(flags: str, room: MachineRoom, missing: list[str]) -> None:
    plan = planned(flags, room)
    assert [row.what for row in plan.rows if row.enough is False] == missing
    assert plan.fits == (not missing)
    assert all(row.advice for row in plan.rows if row.enough is not True)


def test_without_a_pace_cpus_are_an_open_question() -> None:
    assert row(planned("--concurrency 1000"), "CPU").enough is None
    assert "--ttft" in row(planned("--concurrency 1000"), "CPU").advice


def test_a_million_connections_take_36_source_addresses_and_51_workers() -> None:
    plan = planned(f"--concurrency 1000000 {SLOW} -u 127.0.0.1:8000")
    assert (plan.needs.workers, plan.needs.files_per_worker) == (51, 19_708)
    assert row(plan, "Source addresses").needed == "36"
    assert "127.0.0.2-127.0.0.37" in row(plan, "Source addresses").advice
    assert planned(f"--concurrency 1000000 {SLOW} -u 127.0.0.1:8000", addresses=36).fits


def test_addresses_of_another_network_are_for_the_user_to_name() -> None:
    advice = row(planned(f"--concurrency 1000000 {SLOW} -u llm:8000"), "Source addresses").advice
    assert "36 addresses" in advice
    assert "127." not in advice


def write(folder: Path, **texts: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)


def test_a_machine_is_read_from_what_the_kernel_tells(tmp_path: Path) -> None:
    proc, cgroup = tmp_path / "proc", tmp_path / "cgroup"
    write(proc, meminfo="MemTotal:  9 kB\nMemAvailable:    4000 kB\n")
    write(proc / "sys/net/ipv4", ip_local_port_range="1000\t1999\n", ip_local_reserved_ports="990-1009,1500,3000\n")
    write(proc / "sys/net/netfilter", nf_conntrack_max="500\n", nf_conntrack_count="20\n")
    room = this_room(proc, cgroup)
    assert (room.ports, room.memory_bytes, room.tracked_max) == (1_000 - 10 - 1, 4_096_000, 480)
    write(cgroup, **{"memory.max": "3000000\n", "memory.current": "1000000\n"})
    assert this_room(proc, cgroup).memory_bytes == 2_000_000
    write(cgroup, **{"memory.max": "max\n"})
    assert this_room(proc, cgroup).memory_bytes == 4_096_000


def test_a_machine_that_tells_nothing_has_the_ports_of_the_standard(tmp_path: Path) -> None:
    room = this_room(tmp_path, tmp_path)
    assert (room.ports, room.memory_bytes, room.tracked_max) == (16_384, None, None)


def test_a_table_without_entries_tracks_nothing(tmp_path: Path) -> None:
    write(tmp_path / "sys/net/netfilter", nf_conntrack_max="500\n", nf_conntrack_count="0\n")
    assert this_room(tmp_path, tmp_path).tracked_max is None
