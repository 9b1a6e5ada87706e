"""Who may do what: the ready Role suffices, `edit` suffices for a run without rights of its own, `view` is refused."""

from pathlib import Path

import pytest
from tests.kubernetes.runs import SMALL

ROLE = Path(__file__).resolve().parents[2] / "examples/kubernetes-role.yaml"


@pytest.fixture
def kubeconfig(cluster, namespace, tmp_path):
    """A factory: the kubeconfig of a user of the namespace with these rights there, and none elsewhere."""

    def make(bound_to="", manifest=""):
        account = f"system:serviceaccount:{namespace}:person"
        cluster.kubectl("--namespace", namespace, "create", "serviceaccount", "person")
        if bound_to:
            cluster.kubectl(
                *("--namespace", namespace, "create", "rolebinding", "person"),
                *(f"--clusterrole={bound_to}", f"--serviceaccount={namespace}:person"),
            )
        if manifest:
            text = manifest.replace("NAMESPACE", namespace).replace("USER", account)
            cluster.kubectl("apply", "--filename=-", stdin=text)
        token = cluster.kubectl("--namespace", namespace, "create", "token", "person").stdout.strip()
        path = tmp_path / "kubeconfig"
        admins = cluster.kubectl("config", "view", "--raw", "--flatten", "--minify", "--output=yaml").stdout
        path.write_text(admins)
        for arguments in (
            ("set-credentials", "person", f"--token={token}"),
            ("set-context", "--current", "--user=person", f"--namespace={namespace}"),
        ):
            cluster.kubectl("--kubeconfig", str(path), "config", *arguments)
        return str(path)

    return make


def test_the_ready_role_suffices_in_a_namespace_that_exists(aiperf, server, namespace, kubeconfig):
    """Without a namespace of the run's own, the context's is used."""
    run = aiperf.run(*SMALL, "--url", server.url, "--kubeconfig", kubeconfig(manifest=ROLE.read_text()))
    assert run.exit_code == 0, run.words
    assert f"the benchmark runs in the context's, {namespace}" in run.stderr
    assert "an account and a Role of the run" in run.stderr


def test_who_may_not_make_roles_gets_a_run_without_rights_of_its_own(aiperf, server, namespace, kubeconfig):
    chosen = ("--namespace", namespace, "--kubeconfig", kubeconfig(bound_to="edit"))
    run = aiperf.start(*SMALL, "--url", server.url, *chosen, "--concurrency", "2", "--duration", "5").wait_for_load()
    assert run.objects("roles,rolebindings,serviceaccounts") == []
    run.finish()
    assert run.exit_code == 0, run.words
    assert f"you may not make a Role in {namespace}" in run.stderr


def test_who_may_only_look_is_told_what_is_missing(aiperf, server, namespace, kubeconfig):
    chosen = ("--namespace", namespace, "--kubeconfig", kubeconfig(bound_to="view"))
    run = aiperf.run(*SMALL, "--url", server.url, *chosen)
    assert run.exit_code == 3, run.words
    for word in ("[FAILED]  rights", "create", "jobs", "kubernetes-rights"):
        assert word in run.stderr, run.words
    assert run.in_cluster() == ""
