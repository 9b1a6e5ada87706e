"""What only the run may know stays with it, and nobody else has a say in it."""

import json
import ssl
import urllib.error
import urllib.request

import pytest
from tests.kubernetes.conftest import RESTRICTED, SERVER_KEY
from tests.kubernetes.runs import KINDS, SMALL

pytestmark = pytest.mark.xdist_group("security")
OPENLY = KINDS.replace("secrets,", "")
INTRUDER = """
import json, sys, time, zmq
from zmq.utils.monitor import recv_monitor_message

def met(address, server_key):
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    if server_key:
        socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
        socket.curve_serverkey = server_key
    monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_CONNECTED)
    socket.connect(address)
    socket.send_multipart([b"", b"let me in"], zmq.NOBLOCK)
    seen, end_s = set(), time.monotonic() + 3
    while time.monotonic() < end_s:
        if monitor.poll(100):
            seen.add(recv_monitor_message(monitor)["event"])
    found = {"connected": zmq.EVENT_CONNECTED in seen, "met": zmq.EVENT_HANDSHAKE_SUCCEEDED in seen}
    found["answered"] = bool(socket.poll(0))
    context.destroy(linger=0)
    return found

ports = [int(word) for word in sys.argv[2:]]
keys = [None, zmq.curve_keypair()[0]]
print(json.dumps([met(f"tcp://{sys.argv[1]}:{port}", key) for port in ports for key in keys]))
"""
WIRE_PORTS = (5551, 5552, 5553)
API_PORT = 8443


@pytest.fixture(scope="module")
def run(module_aiperf, server):
    """A run that needs a key for its endpoint."""
    flags = ("--concurrency", "2", "--duration", "45", "--url", server.locked_url)
    return module_aiperf.start(*SMALL, *flags, environ={"AIPERF_API_KEY": SERVER_KEY}).wait_for_load()


def test_the_endpoints_key_is_in_the_secret_and_nowhere_else(run, cluster):
    (secret,) = run.objects("secrets")
    assert "plan.json" in secret["data"]
    assert SERVER_KEY not in json.dumps(run.objects(OPENLY))
    for pod in run.pods():
        log = cluster.kubectl(
            *("--namespace", pod["metadata"]["namespace"], "logs", pod["metadata"]["name"], "--all-containers")
        )
        assert SERVER_KEY not in log.stdout


def test_the_api_refuses_whoever_has_no_token(run, cluster, forwarding):
    port = forwarding(run.pods("controller")[0], API_PORT)
    insecure = ssl.create_default_context()
    insecure.check_hostname, insecure.verify_mode = False, ssl.CERT_NONE

    def status(path, method="GET", **headers):
        request = urllib.request.Request(f"https://127.0.0.1:{port}{path}", headers=headers, method=method)
        try:
            return urllib.request.urlopen(request, context=insecure, timeout=30).status
        except urllib.error.HTTPError as error:
            return error.code

    assert status("/healthz") == 200
    for path in ("/v1/run", "/v1/artifacts", "/v1/dataset/store"):
        assert status(path) == 401
    assert status("/v1/stop", "POST") == 401
    assert status("/v1/run", **{"x-aiperf-token": "guessed", "authorization": "Bearer guessed"}) == 401


def test_a_pod_without_the_keys_can_neither_join_nor_be_heard(run, cluster, namespace, eventually):
    address = run.pods("controller")[0]["status"]["podIP"]
    words = ["/opt/aiperf/bin/python3", "-c", INTRUDER, address, *map(str, WIRE_PORTS)]
    container = {"name": "it", "image": cluster.image, "command": words, "securityContext": RESTRICTED}
    spec = {"restartPolicy": "Never", "containers": [container]}
    metadata = {"name": "intruder", "namespace": namespace}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    def is_done():
        return cluster.get("--namespace", namespace, "pod", "intruder")["status"]["phase"] in ("Succeeded", "Failed")

    eventually(is_done, "the intruder has tried")
    tries = json.loads(cluster.kubectl("--namespace", namespace, "logs", "intruder").stdout)
    assert tries == [{"connected": True, "met": False, "answered": False}] * 2 * len(WIRE_PORTS)


def test_the_run_takes_no_notice_and_its_results_hold_no_secret(run):
    """After all of the above."""
    run.finish()
    assert run.exit_code == 0, run.words
    assert run.summary["credits"]["failed"] == 0
    assert SERVER_KEY not in run.stdout + run.stderr
    for path in run.folder.rglob("*"):
        assert path.is_dir() or SERVER_KEY.encode() not in path.read_bytes(), path
