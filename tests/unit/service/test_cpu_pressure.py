from pathlib import Path

import pytest

from aiperf.service.cpu_pressure import CpuPressure, read_cpu_pressure
from aiperf.service.machine import cgroup_folders, whereabouts

V2 = "usage_usec 10\nuser_usec 5\nsystem_usec 5\nnr_periods 9\nnr_throttled {count}\nthrottled_usec {us}\n"
PSI = "some avg10=1.50 avg60=0.00 avg300=0.00 total={total}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=3\n"
V1 = "nr_periods 9\nnr_throttled 3\nthrottled_time 2500000\n"


def folder(path: Path, content: str) -> Path:
    path.mkdir(parents=True)
    (path / "cpu.stat").write_text(content)
    return path


def test_both_versions_of_cgroups_are_read(tmp_path: Path):
    schedstat = tmp_path / "schedstat"
    schedstat.write_text("183624 7046072 4\n")
    v2, v1 = folder(tmp_path / "v2", V2.format(count=7, us=1_500)), folder(tmp_path / "v1", V1)
    none = tmp_path / "none"
    assert read_cpu_pressure([v2], schedstat, none) == CpuPressure(7, 1_500_000, 7_046_072)
    assert read_cpu_pressure([v1], schedstat, none) == CpuPressure(3, 2_500_000, 7_046_072)


def test_pressure_is_that_of_the_machine_and_of_the_own_cgroup(tmp_path: Path):
    own, above, machine = tmp_path / "own", tmp_path / "above", tmp_path / "cpu"
    for path, total in ((own, 7), (above, 9)):
        path.mkdir()
        (path / "cpu.pressure").write_text(PSI.format(total=total))
    machine.write_text(PSI.format(total=62_596_033))
    pressure = read_cpu_pressure([own, above], tmp_path / "none", machine)
    assert (pressure.machine_pressure_ns, pressure.cgroup_pressure_ns) == (62_596_033_000, 7_000)


def test_the_level_that_held_back_the_longest_counts(tmp_path: Path):
    own, above = folder(tmp_path / "a", V2.format(count=9, us=5)), folder(tmp_path / "b", V2.format(count=1, us=80))
    assert read_cpu_pressure([own, above], tmp_path / "none", tmp_path / "none") == CpuPressure(1, 80_000, 0)


@pytest.mark.parametrize("content", ["", "some total=many\n", "full total=3\n"])
def test_pressure_that_cannot_be_read_is_none(tmp_path: Path, content: str):
    (tmp_path / "cpu").write_text(content)
    assert read_cpu_pressure([], tmp_path / "none", tmp_path / "cpu") == CpuPressure()


@pytest.mark.parametrize("content", ["", "usage_usec 1\n", "nonsense", "nr_throttled many\n"])
def test_what_the_kernel_does_not_tell_is_nothing(tmp_path: Path, content: str):
    folders = [folder(tmp_path / "a", content), tmp_path / "none"]
    assert read_cpu_pressure(folders, tmp_path, tmp_path / "none") == CpuPressure()


def test_what_counts_is_what_was_added_since():
    since = CpuPressure(9, 7_000_000, 3_000_000, 9_000_000).since(CpuPressure(4, 2_000_000, 3_500_000, 1_000_000))
    assert since.observations() == {
        "throttled_count": 5, "throttled_ms": 5, "run_queue_delay_ms": 0, "machine_cpu_pressure_ms": 8,
        "cgroup_cpu_pressure_ms": 0,
    }  # fmt: skip


def test_cgroups_are_the_own_one_and_those_above_it(tmp_path: Path):
    membership = tmp_path / "cgroup"
    membership.write_text("4:memory:/m\n2:cpu,cpuacct:/pods/one\n0::/slice/scope\n")
    root = tmp_path / "fs"
    names = [path.relative_to(root).as_posix() for path in cgroup_folders("cpu", root, membership)]
    assert names == ["cpu,cpuacct/pods/one", "cpu,cpuacct/pods", "cpu,cpuacct", "slice/scope", "slice", "."]
    assert [*cgroup_folders("cpu", root, tmp_path / "none")] == []


def test_a_pod_says_where_it_is(monkeypatch):
    monkeypatch.delenv("POD_NAME", raising=False)
    monkeypatch.delenv("NODE_NAME", raising=False)
    host, node = whereabouts()
    assert host == node != ""
    monkeypatch.setenv("POD_NAME", "aiperf-1-worker-0-x")
    monkeypatch.setenv("NODE_NAME", "node-7")
    assert whereabouts() == ("aiperf-1-worker-0-x", "node-7")
