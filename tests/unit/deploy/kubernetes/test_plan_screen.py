from typing import Any

from aiperf import __version__
from aiperf.deploy.kubernetes.plan_screen import plan_screen, screen_text


def test_the_screen_tells_what_will_be_created(draft: Any) -> None:
    screen = plan_screen(
        draft("--concurrency", "100"), context="kind-dev", server="https://10.0.0.1:6443", namespace_exists=False
    )
    assert screen_text(screen) == (
        "Context    kind-dev (https://10.0.0.1:6443)\n"
        "Namespace  aiperf-0123456789ab (is made, and deleted afterwards)\n"
        f"Image      aiperf:{__version__}\n"
        "Pods       2 (compact)\n"
        "           1 x controller: 200m CPU; 256Mi memory, at most 1344Mi\n"
        "           1 x record-processor: 25m CPU, at most 1; 112Mi memory, at most 624Mi\n"
        "           1 x worker: 75m CPU; 80Mi memory, at most 288Mi\n"
        "Asks for   300m CPU, 448 MiB memory\n"
        "Held to    2,256 MiB memory\n"
        "Load       up to 100 connections a worker, at the server's pace; "
        "workers take 110,000 chunks/s at a core each\n"
        "Rights     an account and a Role of the run\n"
        "Access     port-forward"
    )


def test_a_namespace_that_exists_is_kept_and_a_planned_pace_is_told(draft: Any) -> None:
    text = screen_text(
        plan_screen(
            draft(
                *("--request-rate", "1000", "--osl", "110", "--streaming", "--duration", "60"),
                *("--namespace", "perf", "--service-account", "runner", "--topology", "per-service"),
            ),
            context="c",
            server="s",
            namespace_exists=True,
        )
    )
    assert "perf (exists, is kept)" in text
    assert "planned: 110,000 chunks/s" in text
    assert "the account runner" in text
    assert "1 x timing-manager" in text


def test_large_runs_are_told_in_gib(draft: Any) -> None:
    screen = plan_screen(draft("--concurrency", "1000000"), context="c", server="s", namespace_exists=False)
    assert "GiB memory" in screen_text(screen)
