"""What runs on the node and how it is configured. Pure: certificates and a folder -> command lines and file texts.

It is a cluster as kubeadm would make it (Node and RBAC authorization, default admission with Pod Security, signed
ServiceAccount tokens, webhook-authorized kubelet), with three differences: one node carries everything, programs run
natively and not in pods, and nothing listens beyond the harness's own addresses.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from tests.kubernetes.cluster.certificates import Certificates
from tests.kubernetes.cluster.places import (
    BINARIES,
    CGROUP,
    NODE,
    NODE_ADDRESS,
    NODE_POD_RANGE,
    PAUSE_IMAGE,
    POD_RANGE,
    SERVICE_RANGE,
)

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
DATA_FOLDERS = ("/var/lib/etcd", "/var/lib/containerd", "/var/lib/kubelet", "/var/log")
"""Paths inside the node's mount namespace that lie on disk in the run's folder; the rest of /run and /var/lib is
memory there. So every path is the ordinary one, short enough for sockets, and gone with the namespace."""


_VOLUME_PLUGINS = "/var/lib/kubelet/volumeplugins"
DNS_READY_URL = f"http://{NODE_ADDRESS}:8181/ready"


@dataclass(frozen=True)
class Component:
    name: str
    argv: tuple[str, ...]
    wave: int
    """A wave starts when the one before it accepts connections."""
    accepts: str = ""
    """`host:port` or a socket's path."""


def configuration_files(certificates: Certificates, folder: Path) -> dict[str, str]:
    """File name in `folder` -> text. JSON where YAML is asked for: it is YAML, too."""
    return {
        "containerd.toml": _CONTAINERD.replace("@CNI@", f"{folder}/cni"),
        "cni/10-bridge.conflist": json.dumps(_cni()),
        "kubelet.yaml": json.dumps(_kubelet(certificates, folder), indent=2),
        "kube-proxy.yaml": json.dumps(_kube_proxy(certificates), indent=2),
        "Corefile": _COREFILE.replace("@KUBECONFIG@", certificates.kubeconfig("coredns")),
        "resolv.conf": "",
    }


def components(certificates: Certificates, folder: Path) -> list[Component]:
    """All of them, in order of their waves; `folder` holds the configuration files."""

    def program(name: str, *flags: str, wave: int, accepts: str = "") -> Component:
        return Component(name, (str(BINARIES / name), *flags), wave, accepts)

    return [
        program("etcd", *_ETCD, wave=0, accepts="127.0.0.1:2379"),
        program("containerd", f"--config={folder}/containerd.toml", wave=0, accepts=CONTAINERD_SOCKET),
        program("kube-apiserver", *_apiserver(certificates), wave=1, accepts=f"{NODE_ADDRESS}:6443"),
        program("kube-controller-manager", *_controller_manager(certificates), wave=2),
        program(
            "kube-scheduler",
            f"--kubeconfig={certificates.kubeconfig('scheduler')}",
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
            wave=2,
        ),
        program(
            "kubelet",
            f"--config={folder}/kubelet.yaml",
            f"--kubeconfig={certificates.kubeconfig('kubelet')}",
            f"--hostname-override={NODE}",
            f"--node-ip={NODE_ADDRESS}",
            wave=2,
        ),
        program("kube-proxy", f"--config={folder}/kube-proxy.yaml", wave=2),
        program("coredns", f"-conf={folder}/Corefile", wave=2),
    ]


_ETCD = (
    "--name=test",
    "--data-dir=/var/lib/etcd",
    "--listen-client-urls=http://127.0.0.1:2379",
    "--advertise-client-urls=http://127.0.0.1:2379",
    "--listen-peer-urls=http://127.0.0.1:2380",
    "--initial-advertise-peer-urls=http://127.0.0.1:2380",
    "--initial-cluster=test=http://127.0.0.1:2380",
    "--unsafe-no-fsync",
    "--log-level=warn",
)


def _apiserver(certificates: Certificates) -> tuple[str, ...]:
    return (
        "--etcd-servers=http://127.0.0.1:2379",
        f"--bind-address={NODE_ADDRESS}",
        f"--advertise-address={NODE_ADDRESS}",
        "--secure-port=6443",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--client-ca-file={certificates.authority}",
        f"--tls-cert-file={certificates.certificate('apiserver')}",
        f"--tls-private-key-file={certificates.key('apiserver')}",
        f"--kubelet-certificate-authority={certificates.authority}",
        f"--kubelet-client-certificate={certificates.certificate('apiserver-kubelet-client')}",
        f"--kubelet-client-key={certificates.key('apiserver-kubelet-client')}",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={certificates.certificate('service-accounts')}",
        f"--service-account-signing-key-file={certificates.key('service-accounts')}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--profiling=false",
    )


def _controller_manager(certificates: Certificates) -> tuple[str, ...]:
    return (
        f"--kubeconfig={certificates.kubeconfig('controller-manager')}",
        f"--root-ca-file={certificates.authority}",
        f"--cluster-signing-cert-file={certificates.authority}",
        f"--cluster-signing-key-file={certificates.authority_key}",
        f"--service-account-private-key-file={certificates.key('service-accounts')}",
        "--use-service-account-credentials=true",
        "--allocate-node-cidrs=false",
        # It makes this folder; the usual one lies on the machine and not in the node.
        f"--flex-volume-plugin-dir={_VOLUME_PLUGINS}",
        f"--cluster-cidr={POD_RANGE}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--profiling=false",
    )


def _kubelet(certificates: Certificates, folder: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_ADDRESS,
        "healthzBindAddress": "127.0.0.1",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": certificates.authority},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": certificates.certificate("kubelet-server"),
        "tlsPrivateKeyFile": certificates.key("kubelet-server"),
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}",
        # The machines at hand have control groups of version 1 only, which new kubelets refuse unless told.
        "failCgroupV1": False,
        "clusterDomain": "cluster.local",
        "clusterDNS": [NODE_ADDRESS],
        "resolvConf": f"{folder}/resolv.conf",
        "volumePluginDir": _VOLUME_PLUGINS,
        "maxPods": 250,
        # Lowering a score needs a capability that a sandboxed root may lack.
        "oomScoreAdj": 0,
        # A disk that is fuller than a production node's may be is no reason to evict a test.
        "evictionHard": {"memory.available": "200Mi", "nodefs.available": "1Gi", "imagefs.available": "1Gi"},
        "imageMinimumGCAge": "24h",
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "failSwapOn": False,
        "logging": {"verbosity": 1},
    }


def _kube_proxy(certificates: Certificates) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "hostnameOverride": NODE,
        "bindAddress": NODE_ADDRESS,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "nodePortAddresses": [f"{NODE_ADDRESS}/32"],
        "clusterCIDR": POD_RANGE,
        "clientConnection": {"kubeconfig": certificates.kubeconfig("kube-proxy")},
        # The limits of connection tracking are the machine's; a network namespace may not change them.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "iptables": {"minSyncPeriod": "0s"},
        "oomScoreAdj": 0,
    }


def _cni() -> dict[str, object]:
    return {
        "cniVersion": "1.0.0",
        "name": "bridge",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": True,
                # Both sides know the routes. Without masquerading a pod keeps its address, and none gets out.
                "ipMasq": False,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/cni",
                    "ranges": [[{"subnet": NODE_POD_RANGE}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }
        ],
    }


_CONTAINERD = f"""\
version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.nri.v1.nri",
  "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.erofs",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{PAUSE_IMAGE}"

[plugins."io.containerd.cri.v1.runtime"]
# Without CAP_SYS_RESOURCE runc cannot lower a score, and every sandbox would fail.
restrict_oom_score_adj = true
disable_apparmor = true
netns_mounts_under_state_dir = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["/usr/lib/cni"]
conf_dir = "@CNI@"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "/usr/sbin/runc"
SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri"]
stream_server_address = "127.0.0.1"
stream_server_port = "0"
"""

_COREFILE = f"""\
cluster.local in-addr.arpa {{
    bind {NODE_ADDRESS}
    errors
    ready {NODE_ADDRESS}:8181
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig @KUBECONFIG@ aiperf-test-cluster
        pods insecure
    }}
    loadbalance
}}
. {{
    bind {NODE_ADDRESS}
    errors
    template ANY ANY . {{
        rcode NXDOMAIN
    }}
}}
"""
"""No cache: it would keep a "no such name" from before a peer was published. No forwarding: there is nowhere to ask,
and without the second block a name outside the cluster would be a server failure instead of unknown."""


def bootstrap_objects() -> list[dict[str, object]]:
    """What is applied once the API server answers: the name server's right to read what it publishes."""
    name = "system:coredns"
    rules = [
        {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    group = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": group, "kind": "User", "name": name}],
        },
    ]
