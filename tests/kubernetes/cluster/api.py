"""The little of the API that bringing a cluster up needs: read an object, apply an object. Kubeconfig -> JSON.

Not kubectl: a process for every look would cost more than the cluster does meanwhile.
"""

import base64
import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

_PATHS = {
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}


class Api:
    """An administrator's view through a kubeconfig that carries its certificates."""

    def __init__(self, kubeconfig: Path) -> None:
        document = json.loads(kubeconfig.read_text())
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        self._server = cluster["server"]
        self._tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        pair = kubeconfig.with_suffix(".pem")
        pair.write_bytes(b"".join(base64.b64decode(user[f"client-{part}-data"]) for part in ("certificate", "key")))
        self._tls.load_cert_chain(pair)
        pair.unlink()
        # Never through a proxy of the machine: the address exists only here.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._tls)
        )

    def get(self, path: str) -> Any:
        """The object or list at a path, or the text at another URL; None if there is none (yet)."""
        try:
            with self._opener.open(path if "://" in path else self._server + path, timeout=5) as answer:
                text = answer.read().decode()
        except (OSError, urllib.error.URLError):
            return None
        return json.loads(text) if text.startswith("{") else text

    def apply(self, document: dict[str, Any]) -> None:
        """Server-side apply: creates it or makes it so."""
        path = f"{_PATHS[document['kind']]}/{document['metadata']['name']}?fieldManager=test-cluster&force=true"
        request = urllib.request.Request(
            self._server + path,
            json.dumps(document).encode(),
            {"Content-Type": "application/apply-patch+yaml"},
            method="PATCH",
        )
        with self._opener.open(request, timeout=10) as answer:
            answer.read()
