"""What a user must be allowed to do in a cluster, for each thing that aiperf does there.

Owns: the table of rights, which of them a run needs; the reference page and the ready Role made from it. Does not own:
asking the cluster (preflight), what the controller may do (`access`).

`python -m aiperf.deploy.kubernetes.rights FILE.md FILE.yaml` writes both; `--check` only tells whether one is stale.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from aiperf.deploy.kubernetes.access import ROLES
from aiperf.deploy.kubernetes.blueprint import Account, Blueprint
from aiperf.deploy.kubernetes.yaml_out import yaml_text


class Action(StrEnum):
    """What a user does."""

    RUN = "run a benchmark"
    OWN_RIGHTS = "give the controller rights of its own"
    NEW_NAMESPACE = "make a namespace, and delete it afterwards"
    PORT_FORWARD = "reach the controller by `port-forward`"
    PROXY = "reach the controller by `proxy`"
    NODEPORT = "reach the controller by `nodeport`"
    LOADBALANCER = "reach the controller by `loadbalancer`"
    CHECKS = "check quota and capacity beforehand"
    CLAIMS = "check claims that are mounted"
    LOGS = "show logs of pods"
    ATTACH = "find a run, attach to it, fetch its results, cancel it"
    CLEAN_UP = "clean up what lost runs left"


class Scope(StrEnum):
    NAMESPACE = "namespace"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one kind of thing."""

    action: Action
    verb: str
    group: str
    resource: str
    subresource: str = ""
    scope: Scope = Scope.NAMESPACE
    without: str = ""
    """What happens where this right is missing; empty: the action is not possible."""

    @property
    def optional(self) -> bool:
        return bool(self.without)

    @property
    def everywhere(self) -> bool:
        """In all namespaces, of what lies in one."""
        return self.scope is Scope.CLUSTER and self.resource not in ("namespaces", "nodes")

    @property
    def full_resource(self) -> str:
        """As rules name it: `pods/log`."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def _rights(action: Action, verbs: str, group: str, *resources: str, **more: Any) -> list[Right]:
    """A right for each verb on each resource (`pods/log` is one with its subresource)."""
    return [
        Right(action, verb, group, *resource.partition("/")[::2], **more)
        for resource in resources
        for verb in verbs.split()
    ]


_NO_CAPACITY = "no check whether the pods fit"
_NO_EVENTS = "reasons for pods that do not start are shorter"

RIGHTS: tuple[Right, ...] = (
    *_rights(Action.RUN, "create get list watch patch delete", "batch", "jobs"),
    *_rights(Action.RUN, "create", "", "configmaps", "secrets", "services"),
    *_rights(Action.RUN, "create", "networking.k8s.io", "networkpolicies"),
    *_rights(Action.RUN, "get list watch", "", "pods"),
    *_rights(Action.RUN, "get", "", "namespaces", without="a namespace that is missing is told by the first refusal"),
    *_rights(Action.RUN, "list", "", "events", without=_NO_EVENTS),
    *_rights(Action.OWN_RIGHTS, "create", "", "serviceaccounts", without="the controller runs without rights"),
    *_rights(Action.OWN_RIGHTS, "create", ROLES, "roles", "rolebindings", without="the controller runs without rights"),
    *_rights(
        Action.NEW_NAMESPACE,
        "create get delete",
        "",
        "namespaces",
        scope=Scope.CLUSTER,
        without="the benchmark runs in the context's namespace",
    ),
    *_rights(Action.PORT_FORWARD, "get create", "", "pods/portforward"),
    *_rights(Action.PROXY, "get create update delete", "", "pods/proxy"),
    *_rights(Action.NODEPORT, "get", "", "services"),
    *_rights(
        Action.NODEPORT, "get", "", "nodes", scope=Scope.CLUSTER, without="a node's address is given by `--node-ip`"
    ),
    *_rights(Action.LOADBALANCER, "get", "", "services"),
    *_rights(
        Action.CHECKS, "list", "", "resourcequotas", "limitranges", without="a full quota is told by pods that fail"
    ),
    *_rights(Action.CHECKS, "list", "", "nodes", scope=Scope.CLUSTER, without=_NO_CAPACITY),
    *_rights(Action.CHECKS, "list", "", "pods", scope=Scope.CLUSTER, without="nodes are taken to be empty"),
    *_rights(
        Action.CLAIMS, "get", "", "persistentvolumeclaims", without="a missing claim is told by the pod that waits"
    ),
    *_rights(Action.LOGS, "get", "", "pods/log", without="a pod's last words are its termination message"),
    *_rights(Action.ATTACH, "list", "batch", "jobs"),
    *_rights(
        Action.ATTACH, "list", "batch", "jobs", scope=Scope.CLUSTER, without="runs are sought in one namespace only"
    ),
    *_rights(Action.ATTACH, "get", "", "configmaps", "secrets"),
    *_rights(Action.CLEAN_UP, "list delete", "", "namespaces", scope=Scope.CLUSTER, without="made namespaces stay"),
)
"""Asking what one may do (SelfSubjectAccessReview) needs no right: every authenticated user may."""

_BY_ACCESS = {
    "port-forward": Action.PORT_FORWARD,
    "proxy": Action.PROXY,
    "nodeport": Action.NODEPORT,
    "loadbalancer": Action.LOADBALANCER,
}


def actions_of(blueprint: Blueprint) -> list[Action]:
    """What a user does who starts this run."""
    actions = [Action.RUN, Action.CHECKS, Action.LOGS]
    if blueprint.account is Account.OWN:
        actions.append(Action.OWN_RIGHTS)
    if blueprint.owns_namespace:
        actions.append(Action.NEW_NAMESPACE)
    if blueprint.cluster.dataset_pvc or blueprint.cluster.results_pvc:
        actions.append(Action.CLAIMS)
    if (way := _BY_ACCESS.get(blueprint.cluster.api_access)) is not None:
        actions.append(way)
    return actions


def rights_of(actions: Sequence[Action]) -> list[Right]:
    """The rights these actions need, each once, in the table's order."""
    return [right for right in RIGHTS if right.action in actions]


def ready_role() -> list[dict[str, Any]]:
    """A Role with every right inside one namespace, with the binding for a user to be named."""
    verbs_by_resource: dict[tuple[str, str], list[str]] = {}
    for right in RIGHTS:
        if right.scope is Scope.NAMESPACE:
            verbs = verbs_by_resource.setdefault((right.group, right.full_resource), [])
            if right.verb not in verbs:
                verbs.append(right.verb)
    resources_by_rule: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (group, resource), verbs in verbs_by_resource.items():
        resources_by_rule.setdefault((group, tuple(verbs)), []).append(resource)
    rules = [
        {"apiGroups": [group], "resources": resources, "verbs": list(verbs)}
        for (group, verbs), resources in resources_by_rule.items()
    ]
    metadata = {"name": "aiperf-user", "namespace": "NAMESPACE"}
    return [
        {"apiVersion": f"{ROLES}/v1", "kind": "Role", "metadata": metadata, "rules": rules},
        {
            "apiVersion": f"{ROLES}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": ROLES, "kind": "Role", "name": "aiperf-user"},
            "subjects": [{"kind": "User", "apiGroup": ROLES, "name": "USER"}],
        },
    ]


_PAGE_HEAD = """\
# Rights in a cluster

What a user of `--kubernetes` must be allowed to do, for each thing that aiperf does. Only what a run really does is
checked before it begins. This page is generated: `make docs` writes it.

Inside a namespace that exists, rights in that namespace are enough. A ready Role for it, with its binding:
[examples/kubernetes-role.yaml](../examples/kubernetes-role.yaml). Rights of scope *cluster* are all optional.

To give the controller a Role, a user must have the rights that it grants: reading pods, and for a namespace made by
aiperf, deleting it. Who may not create Roles at all runs without one, or names an account that exists by
`--service-account`.

| Action | Verb | Resource | Group | Scope | Without it |
|---|---|---|---|---|---|
"""


def rights_page() -> str:
    """The table as Markdown: a row for each action, resource and scope."""
    verbs_by_row: dict[tuple[Action, str, str, Scope, str], list[str]] = {}
    for right in RIGHTS:
        key = (right.action, right.full_resource, right.group, right.scope, right.without)
        verbs_by_row.setdefault(key, []).append(right.verb)
    rows = [
        f"| {action} | {', '.join(verbs)} | `{resource}` | {f'`{group}`' if group else 'core'} | {scope} "
        f"| {without or 'not possible'} |\n"
        for (action, resource, group, scope, without), verbs in verbs_by_row.items()
    ]
    return _PAGE_HEAD + "".join(rows)


_ROLE_HEAD = """\
# Everything that aiperf needs in a namespace that exists. Put in the names of namespace and user, and apply it.
# Made from the table of docs/kubernetes-rights.md: `make docs` writes it.
"""


def main(argv: Sequence[str]) -> int:
    """Writes or checks page and Role, by suffix. 0 if all is well, 1 if one is stale, 2 for wrong usage."""
    paths = [Path(word) for word in argv if word != "--check"]
    if not paths or any(path.suffix not in (".md", ".yaml") for path in paths):
        print("usage: python -m aiperf.deploy.kubernetes.rights [--check] FILE.md FILE.yaml", file=sys.stderr)
        return 2
    stale = False
    for path in paths:
        text = rights_page() if path.suffix == ".md" else _ROLE_HEAD + yaml_text(ready_role())
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if "--check" in argv:
            print(f"{path} is stale: write it anew by `make docs`", file=sys.stderr)
            stale = True
        else:
            path.write_text(text, encoding="utf-8")
    return int(stale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
