"""One authority per run, and the certificates and kubeconfigs that it issues. Folder -> PEM and YAML files in it."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

import trustme
from tests.kubernetes.cluster.places import API_SERVICE_ADDRESS, API_URL, NODE, NODE_ADDRESS

API_SERVER_NAMES = (
    NODE_ADDRESS,
    "127.0.0.1",
    API_SERVICE_ADDRESS,
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)

CLIENTS = {
    "admin": ("kubernetes-admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", None),
    "scheduler": ("system:kube-scheduler", None),
    "kubelet": (f"system:node:{NODE}", "system:nodes"),
    "kube-proxy": ("system:kube-proxy", None),
    "coredns": ("system:coredns", None),
    "apiserver-kubelet-client": ("kube-apiserver-kubelet-client", "system:masters"),
}
"""Who -> user name and group, which a client certificate carries as common name and organization."""


@dataclass(frozen=True)
class Certificates:
    """The files of a folder that `issue` has written."""

    folder: Path

    @property
    def authority(self) -> str:
        return str(self.folder / "ca.crt")

    @property
    def authority_key(self) -> str:
        return str(self.folder / "ca.key")

    def certificate(self, name: str) -> str:
        return str(self.folder / f"{name}.crt")

    def key(self, name: str) -> str:
        return str(self.folder / f"{name}.key")

    def kubeconfig(self, name: str) -> str:
        return str(self.folder / f"{name}.kubeconfig")


def issue(folder: Path) -> Certificates:
    """Writes the authority, servers, clients with their kubeconfigs, and the key that signs ServiceAccount tokens."""
    folder.mkdir(parents=True, mode=0o700)
    files = Certificates(folder)
    authority = trustme.CA(organization_name="aiperf test cluster")
    authority.cert_pem.write_to_path(files.authority)
    authority.private_key_pem.write_to_path(files.authority_key)

    def write(name: str, *identities: str, user: str | None = None, group: str | None = None) -> None:
        issued = authority.issue_cert(*identities, common_name=user, organization_name=group or "aiperf test cluster")
        issued.cert_chain_pems[0].write_to_path(files.certificate(name))
        issued.private_key_pem.write_to_path(files.key(name))

    write("apiserver", *API_SERVER_NAMES)
    write("kubelet-server", NODE_ADDRESS, NODE)
    write("service-accounts", "service-accounts.test")
    for name, (user, group) in CLIENTS.items():
        # Some name has to be there: Go refuses the empty list of names that trustme would write.
        write(name, f"{name}.test", user=user, group=group)
        Path(files.kubeconfig(name)).write_text(_kubeconfig(files, name))
    for path in folder.iterdir():
        path.chmod(0o600)
    return files


def _kubeconfig(files: Certificates, name: str) -> str:
    def inline(path: str) -> str:
        return base64.b64encode(Path(path).read_bytes()).decode()

    context = "aiperf-test-cluster"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [
            {"name": context, "cluster": {"server": API_URL, "certificate-authority-data": inline(files.authority)}}
        ],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate-data": inline(files.certificate(name)),
                    "client-key-data": inline(files.key(name)),
                },
            }
        ],
        "contexts": [{"name": context, "context": {"cluster": context, "user": name, "namespace": "default"}}],
    }
    return json.dumps(document, indent=2)
