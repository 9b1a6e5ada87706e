"""What is asked for in error, and servers and folders that are not there: one clear message, in seconds."""

import json
import os
import resource
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from tests.ports import dead_port

from aiperf.errors import ExitCode

PATIENT = ("--concurrency", "2", "--duration", "60")
"""A load that would go on for a minute. None of these runs may."""


@pytest.fixture(scope="module")
def url(module_mock_server):
    return module_mock_server("--ttft", "5")


@pytest.fixture(scope="module")
def guarded_url(module_mock_server):
    return module_mock_server("--auth-token", "sesame")


def message(run):
    """What the user is told, without the lines of the live view."""
    lines = run.stderr.splitlines()
    start = next((number for number, line in enumerate(lines) if line.startswith("aiperf: error: ")), None)
    assert start is not None, run.stderr
    assert sum(line.startswith("aiperf: ") for line in lines) == 1
    return "\n".join(lines[start:])


# Wrong usage: nothing is started (what else there is of it: tests/unit/plan, tests/unit/cli)


USAGES = {
    "no model": ((), "no model to ask for was given"),
    "an unknown flag": (("-m", "m", "--concurency", "4"), "Did you mean --concurrency?"),
    "not positive": (("-m", "m", "--concurrency", "0"), "'0' is not a whole number above 0"),
    "a contradiction": (("-m", "m", "--insecure", "--ca-file", __file__), "contradicts --ca-file"),
    "a sweep": (("-m", "m", "--concurrency", "1,2"), "a list of values is a sweep"),
    "no file": (("-m", "m", "--input-file", "/no/such/file"), "/no/such/file does not exist"),
    "a name too long": (("-m", "m", "--input-file", "n" * 300), "File name too long"),
    "below a file": (("-m", "m", "--artifact-dir", f"{__file__}/x"), "is a file, not a folder"),
    "a header that we write": (("-m", "m", "--header", "Content-Length: 3"), "aiperf itself writes the header"),
    "a header that smuggles": (("-m", "m", "--header", "A: b\r\nC: d"), "holds a line break"),
    "no address to come from": (("-m", "m", "--source-address", "0.0.0.0"), "stands for any address"),
    "another machine's address": (
        ("-m", "m", "--source-address", "203.0.113.9"),
        "203.0.113.9: no address of this machine",
    ),
    "more connections than ports": (("-m", "m", "--concurrency", "900000"), "addresses of this machine by --source"),
    "more processes than any machine takes": (("-m", "m", "--concurrency", "1000000000"), "worker processes"),
}


@pytest.mark.parametrize(("argv", "told"), USAGES.values(), ids=USAGES.keys())
def test_wrong_usage_is_told_before_anything_starts(aiperf, argv, told):
    run = aiperf.run(*argv)
    assert run.exit_code == ExitCode.USAGE
    assert told in message(run)
    assert run.stdout == ""
    assert not run.artifacts.exists()


def test_all_problems_are_told_at_once(aiperf):
    run = aiperf.run("--modle", "m", "--concurrency", "-1", env={"AIPERF_DURATION_S": "soon"})
    assert run.exit_code == ExitCode.USAGE
    for origin in ("--modle", "--concurrency", "AIPERF_DURATION_S"):
        assert f"  {origin}: " in message(run)


FILES = {
    "empty": ("", "is empty"),
    "not JSON": ('{"text": "a"}\n\n{"text": \n', "line 3: is not JSON"),
    "not an object": ('{"text": "a"}\n[1]\n', "line 2: is no JSON object"),
    "of the wrong type": ('{"text": "a"}\n{"messages": 3}\n', "line 2: `messages` is a number"),
}


@pytest.mark.parametrize(("content", "told"), FILES.values(), ids=FILES.keys())
def test_an_input_file_that_is_no_good_is_told_by_line(aiperf, url, tmp_path, content, told):
    file = tmp_path / "input.jsonl"
    file.write_text(content)
    run = aiperf.run("-m", "m", "--tokenizer", "builtin", "--url", url, "--input-file", str(file))
    assert run.exit_code == ExitCode.USAGE
    assert told in message(run)
    assert str(file) in message(run)


def test_a_tokenizer_that_cannot_be_had_is_told(aiperf, url):
    run = aiperf.run("-m", "m", "--url", url, "--tokenizer", "/no/such/tokenizer")
    assert run.exit_code == ExitCode.USAGE
    assert "there is no tokenizer '/no/such/tokenizer'" in message(run)


def test_a_model_without_a_tokenizer_of_its_own_is_counted_by_the_builtin_one_with_a_warning(aiperf, url):
    run = aiperf.run("-m", "m" * 300, "--url", url, "--concurrency", "1", "--request-count", "2", "--isl", "4")
    assert run.exit_code == ExitCode.DONE
    assert run.stderr.count("Tokens are counted with the built-in tokenizer") == 1
    assert run.summary["tokenizer"] == "builtin"


# Nothing there to measure


@pytest.mark.parametrize(
    ("host", "kind"),
    [("127.0.0.1", "connect_refused"), ("127.9.8.7", "connect_refused"), ("no-such-host.invalid", "dns")],
    ids=["a closed port", "an address of nobody", "a name of nobody"],
)
def test_a_server_that_is_not_there_ends_the_run_soon(aiperf, host, kind):
    with dead_port("" if kind == "dns" else host) as port:
        run = aiperf.run_small(f"http://{host}:{port}", *PATIENT)
    assert run.exit_code == ExitCode.BENCHMARK_FAILED
    assert message(run).startswith(f"aiperf: error: no request succeeded: {kind}: ")
    assert run.errors().keys() == {(kind, None)}
    assert not run.summary["is_complete"]


def test_a_server_that_refuses_every_request_ends_the_run_soon(aiperf, guarded_url):
    run = aiperf.run_small(guarded_url, *PATIENT, "--api-key", "wrong-secret")
    assert run.exit_code == ExitCode.BENCHMARK_FAILED
    assert "no request succeeded: http_status 401: the bearer token is missing or wrong" in message(run)
    assert run.errors().keys() == {("http_status", 401)}
    for path in run.artifacts.rglob("*"):
        assert path.is_dir() or b"wrong-secret" not in path.read_bytes()


def test_a_path_that_is_not_served_ends_the_run_soon(aiperf, url):
    run = aiperf.run_small(url, *PATIENT, "--endpoint", "/v2/chat")
    assert run.exit_code == ExitCode.BENCHMARK_FAILED
    assert "no request succeeded: http_status 404: there is nothing at /v2/chat" in message(run)


def test_https_to_a_server_of_http_is_told(aiperf, url):
    run = aiperf.run_small(url.replace("http:", "https:"), *PATIENT)
    assert run.exit_code == ExitCode.BENCHMARK_FAILED
    assert "no request succeeded: tls: " in message(run)


# Nowhere to write to


def test_a_folder_that_cannot_be_made_is_told(aiperf, url):
    run = aiperf.run_small(url, "--artifact-dir", "/proc/artifacts")
    assert run.exit_code == ExitCode.INFRASTRUCTURE
    assert "cannot create the artifact directory /proc/artifacts" in message(run)


def test_artifacts_that_are_deleted_during_the_run_are_told(aiperf, url):
    run = aiperf.start_small(url, "--concurrency", "2", "--duration", "1.5")
    run.wait_for_load()
    shutil.rmtree(run.folder)
    run.finish()
    assert run.exit_code == ExitCode.INFRASTRUCTURE
    assert "No such file or directory" in message(run)


def may_mount():
    with tempfile.TemporaryDirectory() as folder:
        trial = ["unshare", "-m", "mount", "-t", "tmpfs", "none", folder]
        return shutil.which("unshare") and subprocess.run(trial, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not may_mount(), reason="no file system may be mounted here")
def test_a_full_disk_is_told(aiperf, url, tmp_path):
    """The run sees a file system of 100 KB where its artifacts go; nobody else does."""
    unshare = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs -o size=100k none {tmp_path} && exec "$@"', "sh"]
    flags = ("--concurrency", "8", "--duration", "5", "--export-level", "raw", "--artifact-dir", str(tmp_path))
    run = aiperf.run_small(url, *flags, prefix=unshare)
    assert run.exit_code == ExitCode.INFRASTRUCTURE
    assert "No space left on device" in message(run)


def test_a_disk_that_is_full_for_the_table_does_not_lose_the_results(aiperf, url):
    with Path("/dev/full").open("w") as full:
        run = aiperf.run_small(url, "--concurrency", "2", "--request-count", "4", stdout=full)
    assert run.exit_code == ExitCode.INFRASTRUCTURE
    assert "the output cannot be written: No space left on device" in message(run)
    assert run.value("request_count") == 4


# Too little of what the system gives


def limited_to(file_count):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (file_count, file_count))


def test_too_few_open_files_for_anything_are_told(aiperf, url):
    run = aiperf.run_small(url, preexec_fn=limited_to(64))
    assert run.exit_code == ExitCode.USAGE
    assert "each process may open 64 files" in message(run)


def test_too_few_open_files_for_the_workers_allowed_are_told(aiperf, url):
    run = aiperf.run_small(url, "--concurrency", "60", "--workers-max", "2", preexec_fn=limited_to(120))
    assert run.exit_code == ExitCode.USAGE
    assert "a concurrency of 60 needs 3 worker processes" in message(run)


def test_few_open_files_are_made_up_for_by_workers(aiperf, url):
    run = aiperf.run_small(url, "--concurrency", "60", "--request-count", "120", preexec_fn=limited_to(120))
    assert run.exit_code == ExitCode.DONE
    assert len(run.summary["workers"]) == 3
    assert run.value("request_count") == 120
    assert run.errors() == {}


def test_a_temporary_directory_with_a_long_name_does_not_matter(aiperf, url):
    long = aiperf.folder / ("t" * 100)
    long.mkdir()
    run = aiperf.run_small(url, "--concurrency", "2", "--request-count", "4", env={"TMPDIR": str(long)})
    assert run.exit_code == ExitCode.DONE
    assert list(long.iterdir()) == []


def test_closed_streams_do_not_matter(aiperf, url):
    def close_all() -> None:
        for descriptor in range(3):
            os.close(descriptor)

    run = aiperf.run_small(url, "--concurrency", "2", "--request-count", "4", preexec_fn=close_all)
    assert run.exit_code == ExitCode.DONE
    assert json.loads((run.folder / "profile_export_aiperf.json").read_bytes())["request_count"]["avg"] == 4
