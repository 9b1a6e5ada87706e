"""Where the lines of a host go: by whether the hosts share a disk, and which services it has."""

import logging
from pathlib import Path

import msgspec
import pytest

from aiperf.deploy.layouts import local_layout
from aiperf.service.host import start_logging
from aiperf.service.layout import Apis, Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return local_layout(
        run_id="run", workers=1, processors=1, artifact_dir=tmp_path, work_dir=tmp_path / "work", seed=1
    )


@pytest.fixture(autouse=True)
def root_logger_as_it_was():
    root, raises = logging.getLogger(), logging.raiseExceptions
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers, logging.raiseExceptions = handlers, raises
    root.setLevel(level)
    logging.captureWarnings(False)


def test_hosts_that_share_a_disk_append_to_one_file(layout, tmp_path, capsys):
    for host in ("control", "worker-0"):
        assert start_logging(layout, "info", host) is None
        logging.getLogger("aiperf.test").info("a line of %s", host)
    lines = (tmp_path / "logs" / "aiperf.log").read_text().splitlines()
    assert [line.rpartition(": ")[2] for line in lines] == ["a line of control", "a line of worker-0"]
    assert capsys.readouterr().err == ""


def test_a_host_with_a_disk_of_its_own_logs_to_stderr_and_into_a_buffer(layout, tmp_path, capsys):
    apart = msgspec.structs.replace(layout, apis=Apis(run="https://elsewhere"))
    buffer = start_logging(apart, "info", "worker-0")
    logging.getLogger("aiperf.test").info("a line")
    assert buffer is not None
    (line,), left_out_count = buffer.take()
    assert line.endswith("aiperf.test: a line")
    assert "worker-0" in line
    assert left_out_count == 0
    assert capsys.readouterr().err == f"{line}\n"
    assert not (tmp_path / "logs").exists()


def test_the_host_of_the_records_manager_has_the_file_at_hand(layout, tmp_path, capsys):
    apart = msgspec.structs.replace(layout, apis=Apis(run="https://elsewhere"))
    assert start_logging(apart, "info", "control") is None
    logging.getLogger("aiperf.test").info("a line")
    assert (tmp_path / "logs" / "aiperf.log").read_text() == capsys.readouterr().err
