"""Where things are: folders, addresses and names of the test cluster. Constants only.

The cluster lives in namespaces of its own (network, mounts, processes), so its addresses cannot meet any of the
machine's other listeners, and the machine's outer interface does not exist for it. One link leads to it.
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
RUN = CACHE / "run"
"""The state of the running cluster. Gone after `down`."""
LOGS = CACHE / "logs"
"""The logs of the latest run: they outlive it, to be read after a failure."""
KUBECONFIG = RUN / "kubeconfig"

LOCK = Path("/run/lock/aiperf-test-cluster.lock")
"""For the whole machine: link, addresses and control groups are the same for every checkout."""
CGROUP = "aiperf-test-cluster"

HOST_LINK = "aiperf-host"
NODE_LINK = "aiperf-node"
NODE = "aiperf-node-1"
LINK_PREFIX_BITS = 30
HOST_ADDRESS = "10.197.0.1"
"""This side of the link: what pods and tests call when a server runs beside the cluster."""
NODE_ADDRESS = "10.197.0.2"
POD_RANGE = "10.197.16.0/20"
NODE_POD_RANGE = "10.197.16.0/23"
SERVICE_RANGE = "10.197.32.0/20"
API_SERVICE_ADDRESS = "10.197.32.1"
API_URL = f"https://{NODE_ADDRESS}:6443"

PAUSE_IMAGE = "localhost/pause:test"
BASE_IMAGE = "localhost/aiperf-base:test"
PROJECT_IMAGE = os.environ.get("AIPERF_CLUSTER_IMAGE", "localhost/aiperf:test")
"""Another name lets checkouts that share a cluster each try their own sources."""
