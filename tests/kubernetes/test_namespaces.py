"""Where a run goes, and what is left there: a namespace of its own goes with it, another's stays as it was."""

import uuid

from tests.kubernetes.runs import SMALL

OF_EVERY_NAMESPACE = {"configmap/kube-root-ca.crt", "serviceaccount/default"}


def exists(cluster, namespace):
    return cluster.kubectl("get", "namespace", namespace, check=False).returncode == 0


def test_without_a_namespace_one_is_made_and_deleted(aiperf, cluster, server):
    run = aiperf.run(*SMALL, "--url", server.url)
    assert run.exit_code == 0, run.words
    assert run.namespace.startswith("aiperf-")
    assert f"namespace {run.namespace} was created; it is deleted after the run" in run.stderr
    assert not exists(cluster, run.namespace)


def test_a_namespace_that_is_missing_is_made_with_a_word_and_deleted(aiperf, cluster, server):
    name = f"test-{uuid.uuid4().hex[:8]}"
    run = aiperf.run(*SMALL, "--url", server.url, "--namespace", name)
    assert run.exit_code == 0, run.words
    assert f"namespace {name} was created; it is deleted after the run" in run.stderr
    assert not exists(cluster, name)


def test_a_namespace_that_exists_is_kept_and_left_as_it_was(aiperf, cluster, server, namespace):
    """It is a `restricted` one: the run's pods pass."""
    run = aiperf.run(*SMALL, "--url", server.url, "--namespace", namespace)
    assert run.exit_code == 0, run.words
    assert "was created" not in run.stderr
    assert exists(cluster, namespace)
    kinds = "jobs,pods,services,configmaps,secrets,serviceaccounts,roles,rolebindings,networkpolicies,leases"
    left = cluster.kubectl("--namespace", namespace, "get", kinds, "--output=name").stdout.split()
    assert set(left) == OF_EVERY_NAMESPACE
