"""What a load takes here, beside what there is."""

from pathlib import Path

import pytest

from aiperf.cli.flags import plan_from_argv
from aiperf.deploy.local_plan import LocalPlan, PlanRow, local_plan
from aiperf.deploy.local_size import local_processor_count
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


def test_more_addresses_than_can_be_given_are_not_advised() -> None:
    advice = row(planned(f"--concurrency 100000000 {SLOW} -u 127.0.0.1:8000"), "Source addresses").advice
    assert "1,024 addresses can be given at most" in advice
    assert "127.0.0.2" not in advice


@pytest.mark.parametrize(
    ("flags", "cpus", "processors", "enough"),
    [
        (f"--concurrency 1000 {FAST}", 8, 1, True),
        (f"--concurrency 20000 {FAST}", 32, 5, True),  # 20 workers
        ("--concurrency 4000 --workers-max 2 --streaming --osl 1000 --ttft 10ms --itl 20ms", 8, 2, True),
        ("--concurrency 8000 --workers-max 4 --streaming --osl 1000 --ttft 10ms --itl 20ms", 8, 4, True),
        ("--concurrency 8000 --workers-max 4 --streaming --osl 1000 --ttft 10ms --itl 20ms", 2, 2, False),
        ("--concurrency 8000 --record-processors 1 --streaming --osl 1000 --ttft 10ms --itl 20ms", 8, 1, False),
    ],
)
def test_record_processors_are_held_to_half_a_core_like_workers(
    flags: str, cpus: int, processors: int, enough: bool
) -> None:
    plan = planned(flags, MachineRoom(Machine(cpus, 20_000), ports=28_232, memory_bytes=16_000_000_000))
    busy = row(plan, "A record processor's core")
    assert (plan.needs.processors, busy.enough) == (processors, enough)
    assert "--record-processors" in busy.advice


def test_a_run_gets_the_record_processors_of_its_plan() -> None:
    flags = "--concurrency 8000 --streaming --osl 1000 --ttft 10ms --itl 20ms"
    plan, _ = plan_from_argv(["-m", "m", *flags.split()], {})
    load = planned_load(plan, phases(plan, 1))
    assert local_processor_count(load, plan.services, 8, LARGE.machine) == planned(flags).needs.processors == 4
    without, _ = plan_from_argv(["-m", "m", "--concurrency", "8000"], {})
    load = planned_load(without, phases(without, 1))
    assert local_processor_count(load, without.services, 8, LARGE.machine) == 2  # no pace is known


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
    write(cgroup, **{"memory.stat": "file 9\ninactive_file 500000\n"})
    assert this_room(proc, cgroup).memory_bytes == 2_500_000  # files that were not read lately are given back
    write(cgroup, **{"memory.max": "max\n"})
    assert this_room(proc, cgroup).memory_bytes == 4_096_000


def test_the_tightest_limit_of_memory_above_a_process_holds(tmp_path: Path) -> None:
    proc, cgroup = tmp_path / "proc", tmp_path / "cgroup"
    write(proc, meminfo="MemAvailable:    4000 kB\n")
    write(proc / "self", cgroup="0::/user/run\n")
    write(cgroup / "user", **{"memory.max": "3000000\n", "memory.current": "1000000\n"})
    write(cgroup / "user/run", **{"memory.max": "9000000\n", "memory.current": "10\n"})
    assert this_room(proc, cgroup).memory_bytes == 2_000_000
    write(cgroup / "user/run", **{"memory.max": "9\n"})
    assert this_room(proc, cgroup).memory_bytes == 0


def test_limits_of_the_first_version_of_cgroups_hold_too(tmp_path: Path) -> None:
    proc, cgroup = tmp_path / "proc", tmp_path / "cgroup"
    write(proc, meminfo="MemAvailable:    4000 kB\n")
    write(proc / "self", cgroup="3:cpu,cpuacct:/c\n2:memory:/m\n")
    limits = {"memory.limit_in_bytes": "3000000\n", "memory.usage_in_bytes": "1500000\n"}
    write(cgroup / "memory/m", **limits, **{"memory.stat": "total_inactive_file 500000\n"})
    assert this_room(proc, cgroup).memory_bytes == 2_000_000


def test_a_machine_that_tells_nothing_has_the_ports_of_the_standard(tmp_path: Path) -> None:
    room = this_room(tmp_path, tmp_path)
    assert (room.ports, room.memory_bytes, room.tracked_max) == (16_384, None, None)


def test_a_table_without_entries_tracks_nothing(tmp_path: Path) -> None:
    write(tmp_path / "sys/net/netfilter", nf_conntrack_max="500\n", nf_conntrack_count="0\n")
    assert this_room(tmp_path, tmp_path).tracked_max is None
