import subprocess
import sys

import pytest

from aiperf.api.server import build_app, listen
from aiperf.errors import InfrastructureError


def test_plain_text_is_refused_beyond_loopback() -> None:
    with pytest.raises(ValueError, match="without TLS"):
        listen("0.0.0.0", 0, tls=False)


def test_a_taken_port_is_said_so() -> None:
    with listen("127.0.0.1", 0, tls=False) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InfrastructureError, match=str(port)):
            listen("127.0.0.1", port, tls=False)


def test_an_empty_token_is_refused() -> None:
    with pytest.raises(ValueError, match="token"):
        build_app("", [])


def loaded_by(module: str) -> set[str]:
    code = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_a_local_run_loads_nothing_of_the_api() -> None:
    code = "import sys, aiperf.cli.profile, aiperf.service.host; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"starlette", "uvicorn", "websockets", "cryptography", "aiperf.api.server", "aiperf.api.client"}
    assert heavy.isdisjoint(loaded)


def test_a_worker_that_fetches_its_dataset_loads_no_server_and_no_websockets() -> None:
    assert {"starlette", "uvicorn", "websockets", "cryptography"}.isdisjoint(loaded_by("aiperf.api.client"))


def test_probes_cost_no_web_stack() -> None:
    assert {"starlette", "uvicorn", "websockets", "cryptography"}.isdisjoint(loaded_by("aiperf.api.health"))
