"""Where kinds of objects live in the API: kind → group, version, plural.

Owns: the kinds that aiperf reads or makes. Does not own: asking the API for others; nothing here needs any.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resource:
    group: str
    """Empty for the core group."""
    version: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Below the server's address."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        place = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        parts = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{root}{place}/{self.plural}{parts}"


RESOURCES: dict[str, Resource] = {
    "Namespace": Resource("", "v1", "namespaces", namespaced=False),
    "Node": Resource("", "v1", "nodes", namespaced=False),
    "Pod": Resource("", "v1", "pods"),
    "Service": Resource("", "v1", "services"),
    "ConfigMap": Resource("", "v1", "configmaps"),
    "Secret": Resource("", "v1", "secrets"),
    "Event": Resource("", "v1", "events"),
    "ResourceQuota": Resource("", "v1", "resourcequotas"),
    "LimitRange": Resource("", "v1", "limitranges"),
    "PersistentVolumeClaim": Resource("", "v1", "persistentvolumeclaims"),
    "ServiceAccount": Resource("", "v1", "serviceaccounts"),
    "Job": Resource("batch", "v1", "jobs"),
    "NetworkPolicy": Resource("networking.k8s.io", "v1", "networkpolicies"),
    "Role": Resource("rbac.authorization.k8s.io", "v1", "roles"),
    "RoleBinding": Resource("rbac.authorization.k8s.io", "v1", "rolebindings"),
    "SelfSubjectAccessReview": Resource("authorization.k8s.io", "v1", "selfsubjectaccessreviews", namespaced=False),
}
