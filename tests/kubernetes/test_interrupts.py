"""Ctrl-C and other ends of the command: partial results come home, the cluster is clean; or the run goes on."""

import re
import signal

import pytest
from tests.kubernetes.runs import LONG, SMALL


def test_ctrl_c_drains_and_brings_home_what_there_is(aiperf, server):
    run = aiperf.start(*LONG, "--url", server.url).wait_for_load()
    run.signal(signal.SIGINT)
    run.finish()
    assert run.exit_code == 130, run.words
    assert "stopping: waiting for requests in flight" in run.stderr
    summary = run.summary
    assert summary["was_cancelled"]
    assert summary["credits"]["completed"] > 0
    assert (summary["credits"]["lost"], summary["credits"]["censored"]) == (0, 0)
    assert run.reconciles
    assert len(run.lines) == summary["records"]["records"]
    assert run.in_cluster() == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_end_while_pods_start_leaves_a_clean_cluster(aiperf, server, number):
    run = aiperf.start(*LONG, "--url", server.url)
    run.eventually(run.pods, "there are pods")
    run.signal(number)
    run.finish()
    assert run.exit_code == 130, run.words
    assert run.in_cluster() == ""


def test_three_times_ctrl_c_waits_for_nothing_but_the_removal(aiperf, server):
    run = aiperf.start(*LONG, "--url", server.url, "--header", "x-mock-ttft:60000")
    run.eventually(lambda: "in flight" in run.stderr, "the load is on")
    for _ in range(3):
        run.signal(signal.SIGINT)
    run.finish()
    assert run.exit_code == 130, run.words
    assert run.in_cluster() == ""


def test_the_end_of_the_terminal_leaves_the_run_alone(aiperf, server, eventually):
    """It finishes, and is removed by its time to live; so is the namespace that was made for it."""
    flags = ("--concurrency", "2", "--duration", "15", "--ttl-seconds", "5")
    run = aiperf.start(*SMALL, *flags, "--url", server.url)
    run.eventually(lambda: " profiling " in run.stderr, "the load is on")
    run.signal(signal.SIGHUP)
    run.finish()
    assert run.exit_code == 130, run.words
    assert f"run {run.run_id} goes on" in run.stderr
    eventually(lambda: run.in_cluster() == "", "the run is gone by itself")


def test_a_killed_command_leaves_a_run_that_finishes_and_is_removed_by_its_time_to_live(
    aiperf, cluster, server, namespace, eventually
):
    flags = ("--concurrency", "2", "--duration", "15", "--ttl-seconds", "5", "--namespace", namespace)
    run = aiperf.start(*SMALL, *flags, "--url", server.url)
    run.eventually(lambda: " profiling " in run.stderr, "the load is on")
    run.kill()
    controller = run.pod("controller")
    log = cluster.kubectl("--namespace", namespace, "logs", "--follow", controller).stdout
    assert "the results were not fetched in time" in log
    eventually(lambda: run.in_cluster() == "", "the run is gone by itself")


def test_a_detached_run_is_named_and_goes_on(aiperf, cluster, server, eventually):
    flags = ("--concurrency", "2", "--duration", "3", "--ttl-seconds", "3", "--detach")
    run = aiperf.run(*SMALL, *flags, "--url", server.url)
    assert run.exit_code == 0, run.words
    # Looked up in the cluster it may be over and gone by now.
    run_id = run.stdout.strip()
    assert re.fullmatch("[0-9a-f]{12}", run_id)
    assert f"aiperf kube attach {run_id} --namespace aiperf-{run_id}" in run.stderr
    eventually(lambda: run.in_cluster() == "", "the run is gone by itself")
