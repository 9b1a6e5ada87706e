from pathlib import Path
from typing import Any

import pytest
import yaml

from aiperf.deploy.kubernetes.access import controller_rules
from aiperf.deploy.kubernetes.jobs import controller_job
from aiperf.deploy.kubernetes.manifests import owned_objects
from aiperf.deploy.kubernetes.rights import RIGHTS, Action, Right, Scope, actions_of, main, ready_role, rights_of

ROOT = Path(__file__).parents[4]
PLURALS = {"NetworkPolicy": "networkpolicies"}


def may(rights: list[Right], verb: str, group: str, resource: str) -> bool:
    return any((right.verb, right.group, right.full_resource) == (verb, group, resource) for right in rights)


def test_a_right_stands_in_the_table_once() -> None:
    assert len(set(RIGHTS)) == len(RIGHTS)


def test_everything_beyond_the_namespace_is_optional() -> None:
    assert all(right.optional for right in RIGHTS if right.scope is Scope.CLUSTER)


@pytest.mark.parametrize("access", ["port-forward", "nodeport"])
def test_whoever_starts_a_run_may_create_all_of_it(draft: Any, access: str) -> None:
    blueprint = draft("--namespace", "perf", "--api-access", access)
    rights = rights_of(actions_of(blueprint))
    for manifest in [controller_job(blueprint), *owned_objects(blueprint, "uid")]:
        group = manifest["apiVersion"].rpartition("/")[0]
        resource = PLURALS.get(manifest["kind"], f"{manifest['kind'].lower()}s")
        assert may(rights, "create", group, resource)


def test_a_user_of_the_ready_role_may_grant_the_controllers_rights(draft: Any) -> None:
    role, _ = ready_role()
    for rule in controller_rules(draft("--namespace", "perf")):
        for resource in rule["resources"]:
            granted = [r for r in role["rules"] if r["apiGroups"] == rule["apiGroups"] and resource in r["resources"]]
            assert set(rule["verbs"]) <= {verb for rule in granted for verb in rule["verbs"]}


@pytest.mark.parametrize(
    ("words", "known", "expected"),
    [
        ((), {}, {Action.NEW_NAMESPACE, Action.OWN_RIGHTS, Action.PORT_FORWARD}),
        (("--namespace", "n"), {"may_create_roles": False}, {Action.PORT_FORWARD}),
        (("--namespace", "n", "--service-account", "a", "--api-access", "direct"), {}, set()),
        (
            ("--namespace", "n", "--api-access", "proxy", "--results-pvc", "r"),
            {},
            {Action.OWN_RIGHTS, Action.PROXY, Action.CLAIMS},
        ),
    ],
)
def test_only_what_is_done_needs_rights(
    draft: Any, words: tuple[str, ...], known: dict[str, Any], expected: set[Action]
) -> None:
    assert set(actions_of(draft(*words, **known))) == {Action.RUN, Action.CHECKS, Action.LOGS} | expected


def test_the_ready_role_holds_every_right_in_a_namespace_once() -> None:
    role, binding = yaml.safe_load_all((ROOT / "examples/kubernetes-role.yaml").read_text())
    held = [
        (r["apiGroups"][0], resource, verb) for r in role["rules"] for resource in r["resources"] for verb in r["verbs"]
    ]
    wanted = {(right.group, right.full_resource, right.verb) for right in RIGHTS if right.scope is Scope.NAMESPACE}
    assert set(held) == wanted
    assert len(held) == len(wanted)
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


def test_the_checked_in_pages_are_fresh() -> None:
    assert main(["--check", str(ROOT / "docs/kubernetes-rights.md"), str(ROOT / "examples/kubernetes-role.yaml")]) == 0


def test_pages_are_written_and_then_found_fresh(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pages = [str(tmp_path / "rights.md"), str(tmp_path / "role.yaml")]
    assert main(["--check", *pages]) == 1
    assert "rights.md is stale" in capsys.readouterr().err
    assert (main(pages), main(["--check", *pages])) == (0, 0)
    assert (main(["--check"]), main(["page.txt"])) == (2, 2)
