"""What the controller may do in the cluster, if it has an account of the run's own.

Owns: ServiceAccount, Role, RoleBinding. Does not own: what the user needs (`rights`).

No verb, resource or name more than is used. Of cluster scope is only the namespace itself: a Role inside of it may let
its accounts read and delete it (and, of a standalone run, note when it may be removed), and no other.
"""

from typing import Any

from aiperf.deploy.kubernetes.blueprint import Account, Blueprint
from aiperf.deploy.kubernetes.names import Component

ROLES = "rbac.authorization.k8s.io"
_ADOPTION = ["get", "patch", "delete"]
"""`get` and `patch` make an owner on most clusters; those that enforce who may own what ask for `delete` as well."""


def access_objects(blueprint: Blueprint) -> list[dict[str, Any]]:
    """Account, Role and binding; nothing for a run with an account that exists, or with none."""
    if blueprint.account is not Account.OWN:
        return []
    name = blueprint.names.controller_account
    metadata = blueprint.metadata(name, Component.CONTROLLER)
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": metadata,
            "automountServiceAccountToken": False,
        },
        {
            "apiVersion": f"{ROLES}/v1",
            "kind": "Role",
            "metadata": metadata,
            "rules": controller_rules(blueprint),
        },
        {
            "apiVersion": f"{ROLES}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": ROLES, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": blueprint.namespace}],
        },
    ]


def controller_rules(blueprint: Blueprint) -> list[dict[str, Any]]:
    """Why a pod was lost; the end of a namespace of ours; for a standalone run, what its starter would have done."""
    rules = [_rule("", ["pods"], ["get", "list", "watch"])]
    if blueprint.owns_namespace:
        adopting = ["patch"] if blueprint.standalone else []
        rules.append(_rule("", ["namespaces"], ["get", *adopting, "delete"], blueprint.namespace))
    if blueprint.standalone:
        rules += _adoption_rules(blueprint)
    return rules


def _adoption_rules(blueprint: Blueprint) -> list[dict[str, Any]]:
    names = blueprint.names
    jobs = [names.job(component) for component in Component if _has_job(blueprint, component)]
    return [
        _rule("batch", ["jobs"], _ADOPTION, *jobs),
        _rule("", ["configmaps"], _ADOPTION, names.config_map),
        _rule("", ["services"], _ADOPTION, names.service, names.access_service),
        _rule("", ["serviceaccounts"], _ADOPTION, names.controller_account),
        _rule(ROLES, ["roles", "rolebindings"], _ADOPTION, names.controller_account),
        _rule("networking.k8s.io", ["networkpolicies"], _ADOPTION, names.network_policy),
        # What is yet to be created has no name that a rule could hold it to.
        _rule("", ["secrets"], ["create"]),
        _rule("", ["secrets"], ["get"], names.secret),
    ]


def _has_job(blueprint: Blueprint, component: Component) -> bool:
    beside_a_worker = component is Component.RECORD_PROCESSOR and blueprint.sizing.topology == "compact"
    return component in blueprint.sizing.resources and not beside_a_worker


def _rule(group: str, resources: list[str], verbs: list[str], *names: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"apiGroups": [group], "resources": resources, "verbs": verbs}
    return {**rule, "resourceNames": sorted(names)} if names else rule
