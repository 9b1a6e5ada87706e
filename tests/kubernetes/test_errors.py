"""What stands in the way of a run is told in plain words, with what to do, and leaves nothing."""

import re

import pytest
from tests.kubernetes.runs import SMALL


def refused(run, *words, code=3):
    assert run.exit_code == code, run.words
    for word in words:
        assert word in run.stderr, run.words
    assert run.in_cluster() == ""


def test_an_image_that_is_nowhere_and_never_pulled(aiperf, server):
    run = aiperf.run(*SMALL, "--url", server.url, "--image", "localhost/no-such:image", "--image-pull-policy", "Never")
    refused(run, "localhost/no-such:image is not on the node", "--image-pull-policy")


def test_an_endpoint_that_is_not_there_is_found_before_anything_is_made(aiperf, server, namespace):
    """A name that nobody has, and a port at which nobody listens."""
    nowhere = "http://nobody.nowhere:8000"
    closed = server.url.replace(":8000", ":9")
    refused(
        aiperf.run(*SMALL, "--url", nowhere, "--url", closed, "--namespace", namespace),
        *("nobody.nowhere does not resolve in a pod", f"{closed} cannot be connected to from a pod"),
        "checks failed",
    )


def test_an_endpoint_that_is_not_there_is_found_while_the_pods_of_a_new_namespace_start(aiperf):
    """No pod can look beforehand."""
    run = aiperf.run(*SMALL, "--url", "http://nobody.nowhere:8000", "--request-count", "4")
    refused(run, "nobody.nowhere does not resolve in a pod", "checks failed")


def test_a_quota_that_is_too_small_is_found_before_anything_is_made(aiperf, cluster, server, namespace):
    cluster.apply(quota(namespace, pods="1"))
    refused(aiperf.run(*SMALL, "--url", server.url, "--namespace", namespace), "quota", "pods", "use another namespace")


@pytest.mark.slow
def test_a_quota_that_is_not_looked_at_is_told_by_the_pods_that_are_not_made(aiperf, cluster, server, namespace):
    cluster.apply(quota(namespace, pods="1"))
    run = aiperf.run(*SMALL, "--url", server.url, "--namespace", namespace, "--skip-preflight")
    refused(run, "the run cannot start: pods cannot be made: ", "quota")


def test_a_quota_on_cpu_limits_gives_workers_a_limit(aiperf, cluster, server, namespace):
    cluster.apply(quota(namespace, **{"limits.cpu": "20", "requests.memory": "8Gi"}))
    run = aiperf.run(*SMALL, "--url", server.url, "--namespace", namespace)
    assert run.exit_code == 0, run.words
    assert f"namespace {namespace} wants a CPU limit of every container" in run.stderr


def test_a_limit_range_that_allows_less_is_found_before_anything_is_made(aiperf, cluster, server, namespace):
    limits = [{"type": "Container", "max": {"memory": "128Mi"}}]
    metadata = {"name": "small", "namespace": namespace}
    cluster.apply({"apiVersion": "v1", "kind": "LimitRange", "metadata": metadata, "spec": {"limits": limits}})
    refused(aiperf.run(*SMALL, "--url", server.url, "--namespace", namespace), "small", "128Mi")


def quota(namespace, **hard):
    metadata = {"name": "tight", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": hard}}


def test_a_server_that_is_no_cluster(aiperf, server, tmp_path):
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
        "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\n"
        "contexts: [{name: c, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {}}]\n"
    )
    run = aiperf.run(*SMALL, "--url", server.url, "--kubeconfig", str(kubeconfig))
    refused(run, "https://127.0.0.1:1")


@pytest.mark.slow
def test_an_image_that_cannot_be_pulled(aiperf, server):
    run = aiperf.run(*SMALL, "--url", server.url, "--image", "localhost:1/there-is-no-such:image")
    refused(run, "image localhost:1/there-is-no-such:image cannot be pulled")
    assert re.search("registry cannot be reached|no such image", run.stderr), run.words
