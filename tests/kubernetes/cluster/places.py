"""Where things are: folders, addresses and names of the test cluster. Constants only.

The cluster lives in namespaces of its own (network, mounts, processes), so its addresses cannot meet any of the
machine's other listeners, and the machine's outer interface does not exist for it. One link leads to it.

A machine can have several: each has a number, from which its addresses and names follow, and nothing in common with the
others but the programs and images that it is made of.
"""

import os
from pathlib import Path

VERSION = "v1.36.3"
CONTAINERD_VERSION = "v2.2.9"

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
CACHE = (ROOT / ".cache" / "kubernetes").resolve()
BINARIES = CACHE / VERSION / "bin"
IMAGES = CACHE / "images"
NUMBER_VARIABLE = "AIPERF_CLUSTER_NUMBER"
NUMBER = int(os.environ.get(NUMBER_VARIABLE, "0"))
SPARE_NUMBER = NUMBER + 1
"""That of the cluster that tests may hurt and end, beside the one that they share."""
_SUFFIX = f"-{NUMBER}" if NUMBER else ""
_NETWORK = f"10.{197 + NUMBER}"

RUN = CACHE / f"run{_SUFFIX}"
"""The state of the running cluster. Gone after `down`."""
LOGS = CACHE / f"logs{_SUFFIX}"
"""The logs of the latest run: they outlive it, to be read after a failure."""
KUBECONFIG = RUN / "kubeconfig"

CGROUP = f"aiperf-test-cluster{_SUFFIX}"
LOCK = Path(f"/run/lock/{CGROUP}.lock")
"""For the whole machine: link, addresses and control groups are the same for every checkout."""
MARK = ("AIPERF_TEST_CLUSTER", str(RUN))
"""An environment variable of the cluster's programs, by which they are told from those of others."""

HOST_LINK = f"aiperf-host{_SUFFIX}"
NODE_LINK = "aiperf-node"
NODE = "aiperf-node-1"
LINK_PREFIX_BITS = 30
HOST_ADDRESS = f"{_NETWORK}.0.1"
"""This side of the link: what pods and tests call when a server runs beside the cluster."""
NODE_ADDRESS = f"{_NETWORK}.0.2"
POD_RANGE = f"{_NETWORK}.16.0/20"
NODE_POD_RANGE = f"{_NETWORK}.16.0/23"
SERVICE_RANGE = f"{_NETWORK}.32.0/20"
API_SERVICE_ADDRESS = f"{_NETWORK}.32.1"
API_URL = f"https://{NODE_ADDRESS}:6443"

PAUSE_IMAGE = "localhost/pause:test"
BASE_IMAGE = "localhost/aiperf-base:test"
PROJECT_IMAGE = os.environ.get("AIPERF_CLUSTER_IMAGE", "localhost/aiperf:test")
"""Another name lets checkouts that share a cluster each try their own sources."""
