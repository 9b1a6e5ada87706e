"""Which cluster a kubeconfig means, as kubectl would understand it."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from aiperf.deploy.kubernetes.kubeconfig import read_access
from aiperf.errors import ClusterError


def config(name: str, *, current: bool = True, user: dict[str, Any] | None = None, **cluster: Any) -> dict[str, Any]:
    return {
        "current-context": name if current else "",
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": f"of-{name}"}}],
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}:6443", **cluster}}],
        "users": [{"name": name, "user": {"token": f"token-of-{name}"} if user is None else user}],
    }


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return path


def user_of(access: Any) -> dict[str, Any]:
    user: dict[str, Any] = access.config["users"][0]["user"]
    return user


@pytest.fixture
def private(tmp_path: Path) -> Path:
    path = tmp_path / "private"
    path.mkdir()
    return path


def test_the_first_current_context_of_several_files_is_taken_with_its_own_namespace(tmp_path: Path, private: Path):
    one, two = write(tmp_path / "1", config("one", current=False)), write(tmp_path / "2", config("two"))
    environment = {"KUBECONFIG": f"{one}::{tmp_path / 'missing'}:{two}"}
    access = read_access(None, None, environment, private)
    assert (access.context, access.server, access.namespace) == ("two", "https://two:6443", "of-two")
    access = read_access(None, "one", environment, private)
    assert (access.context, access.namespace, user_of(access)["token"]) == ("one", "of-one", "token-of-one")


def test_of_two_entries_of_one_name_the_first_wins(tmp_path: Path, private: Path):
    second = config("one", server="https://second")
    paths = write(tmp_path / "1", config("one")), write(tmp_path / "2", second)
    assert read_access(None, None, {"KUBECONFIG": ":".join(map(str, paths))}, private).server == "https://one:6443"


def test_a_named_file_is_preferred_to_the_environment(tmp_path: Path, private: Path):
    write(tmp_path / "1", config("one"))
    named = write(tmp_path / "2", config("two"))
    assert read_access(named, None, {"KUBECONFIG": str(tmp_path / "1")}, private).context == "two"


def test_keys_are_kept_in_the_private_directory_and_for_the_user_only(tmp_path: Path, private: Path):
    key = base64.b64encode(b"KEY").decode()
    path = write(tmp_path / "c", config("one", user={"client-key-data": key, "client-certificate-data": key}))
    written = Path(user_of(read_access(path, None, {}, private))["client-key"])
    assert written.parent == private
    assert written.read_bytes() == b"KEY"
    assert written.stat().st_mode & 0o077 == 0


def test_relative_paths_start_at_their_file(tmp_path: Path, private: Path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "ca.crt").write_text("CA")
    (tmp_path / "conf" / "token").write_text("secret\n")
    content = config("one", user={"tokenFile": "token"}) | {
        "clusters": [{"name": "one", "cluster": {"server": "https://one", "certificate-authority": "ca.crt"}}]
    }
    access = read_access(write(tmp_path / "conf" / "c", content), None, {}, private)
    assert access.config["clusters"][0]["cluster"]["certificate-authority"] == str(tmp_path / "conf" / "ca.crt")
    assert user_of(access)["token"] == "secret"


def test_a_plugin_is_told_what_it_may_ask(tmp_path: Path, private: Path):
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "./login", "provideClusterInfo": True}
    access = read_access(write(tmp_path / "c", config("one", user={"exec": plugin})), None, {}, private)
    given = user_of(access)["exec"]
    assert given["command"] == str(tmp_path / "login")
    told = json.loads(given["env"][-1]["value"])
    assert given["env"][-1]["name"] == "KUBERNETES_EXEC_INFO"
    assert told["apiVersion"] == plugin["apiVersion"]
    assert told["spec"] == {"interactive": False, "cluster": {"server": "https://one:6443"}}


def test_acting_as_somebody_else_is_a_header(tmp_path: Path, private: Path):
    path = write(tmp_path / "c", config("one", user={"token": "t", "as": "robot"}))
    assert read_access(path, None, {}, private).headers == {"Impersonate-User": "robot"}


def test_in_a_pod_its_account_is_used(tmp_path: Path, private: Path):
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text("pod-token")
    (account / "namespace").write_text("here")
    environment = {"KUBECONFIG": str(tmp_path / "none"), "KUBERNETES_SERVICE_HOST": "fd00::1"}
    access = read_access(None, None, environment, private, account)
    assert (access.server, access.namespace) == ("https://[fd00::1]:443", "here")
    assert user_of(access)["token"] == "pod-token"


@pytest.mark.parametrize(
    ("content", "context", "what"),
    [
        (config("one"), "two", "no context 'two'"),
        (config("one", current=False), None, "no current context"),
        (config("one") | {"clusters": []}, None, "names a cluster that is not there"),
        (config("one") | {"users": []}, None, "names a user that is not there"),
        (config("one", user={"client-key-data": "?"}), None, "client-key-data is not base64"),
        (config("one", user={"client-key": "gone.pem"}), None, "a file that is not there"),
        (["a list"], None, "is no kubeconfig"),
        (config("one", server="::::"), None, "cluster 'one' of .*: '::::' is no address"),
        (config("one", server="https://one:99999"), None, "'https://one:99999' is no address"),
        (config("one", server="one:6443"), None, "'one:6443' is no address"),
        (config("one", server=5), None, "'5' is no address"),
        (config("one", server=None), None, "it has no address"),
    ],
)
def test_what_is_wrong_with_a_kubeconfig_is_told(
    tmp_path: Path, private: Path, content: Any, context: str | None, what: str
):
    path = write(tmp_path / "c", content)
    with pytest.raises(ClusterError, match=what):
        read_access(path, context, {}, private, tmp_path / "no-account")


def test_without_any_kubeconfig_the_places_are_named(tmp_path: Path, private: Path):
    with pytest.raises(ClusterError, match=r"no cluster is configured: there is no .*nowhere"):
        read_access(None, None, {"KUBECONFIG": str(tmp_path / "nowhere")}, private, tmp_path)
    with pytest.raises(ClusterError, match=r"there is no kubeconfig .*nowhere"):
        read_access(tmp_path / "nowhere", None, {}, private, tmp_path)


def test_contexts_that_there_are_are_told(tmp_path: Path, private: Path):
    with pytest.raises(ClusterError) as told:
        read_access(write(tmp_path / "c", config("one")), "two", {}, private)
    assert told.value.hint == "Contexts there: one."
