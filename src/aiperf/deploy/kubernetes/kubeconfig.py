"""Which cluster, and as whom: kubeconfig files → one configuration with one context.

Owns: which files are read, how several are merged, which context is chosen; paths made absolute, secrets put into files
of a private directory; what an exec plugin is told. Does not own: running plugins, TLS, requests (kr8s does).

kr8s reads kubeconfigs too, but takes the current context and its namespace from the first of several files only, knows
no `tokenFile` and no `KUBERNETES_EXEC_INFO`, and leaves private keys behind in the temporary directory. So it is handed
a configuration that needs none of it.

Source: Kubernetes, "Organizing Cluster Access Using kubeconfig Files": of several files the first that names a thing
wins; relative paths start at the file that holds them.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from aiperf.deploy.kubernetes.proxy import Proxy, proxy_of
from aiperf.errors import ClusterError

ACCOUNT_DIR = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds the credentials of its account."""
DEFAULT_FILE = "~/.kube/config"
FALLBACK_NAMESPACE = "default"

_SECRETS = {
    "client-certificate-data": "client-certificate",
    "client-key-data": "client-key",
    "certificate-authority-data": "certificate-authority",
}
_PATHS = (*_SECRETS.values(), "tokenFile")


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach one cluster."""

    context: str
    server: str
    namespace: str
    config: dict[str, Any] = field(repr=False)
    """A kubeconfig with this context only."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Whom to act as (`as`, `as-groups`), if not as oneself."""
    plugin: str = ""
    """The command that gives credentials; empty if there is none."""
    install_hint: str = ""
    proxy: Proxy | None = None
    """Decided here, for all connections."""


def read_access(
    kubeconfig: Path | None,
    context: str | None,
    environment: Mapping[str, str],
    private_dir: Path,
    account_dir: Path = ACCOUNT_DIR,
) -> Access:
    """The cluster that was asked for; in a pod without a kubeconfig, the pod's own. Raises: ClusterError."""
    paths = _config_paths(kubeconfig, environment)
    configs = [(path, _read(path)) for path in paths if path.is_file()]
    if not configs:
        if kubeconfig is None and context is None and (account_dir / "token").is_file():
            return _in_cluster(environment, account_dir)
        raise _nothing_found(kubeconfig, paths)
    merged = {kind: _merged(configs, kind) for kind in ("clusters", "contexts", "users")}
    currents = [str(config.get("current-context") or "") for _, config in configs]
    chosen = _chosen(merged, context or next(filter(None, currents), ""), private_dir, paths)
    (cluster,) = (each["cluster"] for each in chosen.config["clusters"])
    return replace(chosen, proxy=proxy_of(chosen.server, str(cluster.get("proxy-url") or ""), environment))


def _config_paths(kubeconfig: Path | None, environment: Mapping[str, str]) -> list[Path]:
    if kubeconfig is not None:
        return [kubeconfig.expanduser()]
    listed = [part for part in environment.get("KUBECONFIG", "").split(":") if part]
    return [Path(part).expanduser() for part in listed or [DEFAULT_FILE]]


def _read(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ClusterError(f"the kubeconfig {path} cannot be read: {error}") from error
    if config is None:
        return {}
    if not isinstance(config, dict):
        raise ClusterError(f"{path} is no kubeconfig", "Name another by --kubeconfig.")
    return config


def _nothing_found(kubeconfig: Path | None, paths: list[Path]) -> ClusterError:
    names = ", ".join(map(str, paths))
    if kubeconfig is not None:
        return ClusterError(f"there is no kubeconfig {names}", "Name another by --kubeconfig.")
    return ClusterError(
        f"no cluster is configured: there is no {names}",
        "Name a kubeconfig by --kubeconfig or $KUBECONFIG, as for kubectl.",
    )


def _merged(configs: list[tuple[Path, dict[str, Any]]], kind: str) -> dict[str, dict[str, Any]]:
    """Name → entry, with absolute paths."""
    entries: dict[str, dict[str, Any]] = {}
    for path, config in configs:
        for item in config.get(kind) or []:
            if not isinstance(item, dict) or "name" not in item:
                raise ClusterError(f"{path}: {kind}: an entry has no name")
            entry = dict(item.get(kind[:-1]) or {})
            for key in _PATHS:
                if entry.get(key):
                    entry[key] = str(path.parent.absolute() / Path(entry[key]).expanduser())
            command = (entry.get("exec") or {}).get("command", "")
            if "/" in command and not command.startswith("/"):
                entry["exec"] = {**entry["exec"], "command": str(path.parent.absolute() / command)}
            entries.setdefault(str(item["name"]), entry)
    return entries


def _chosen(
    merged: Mapping[str, dict[str, dict[str, Any]]], context: str, private_dir: Path, paths: list[Path]
) -> Access:
    where = ", ".join(map(str, paths))
    known = ", ".join(sorted(merged["contexts"])) or "none"
    if not context:
        hint = f"Name one by --kubecontext. Contexts there: {known}."
        raise ClusterError(f"the kubeconfig {where} has no current context", hint)
    if context not in merged["contexts"]:
        raise ClusterError(f"the kubeconfig {where} has no context '{context}'", f"Contexts there: {known}.")
    entry = merged["contexts"][context]
    names = {kind: str(entry.get(kind) or "") for kind in ("cluster", "user")}
    cluster = merged["clusters"].get(names["cluster"])
    if cluster is None:
        raise ClusterError(f"context '{context}' of {where} names a cluster that is not there: '{names['cluster']}'")
    server = _server(cluster, names["cluster"], where)
    user = merged["users"].get(names["user"], {})
    if names["user"] and names["user"] not in merged["users"]:
        raise ClusterError(f"context '{context}' of {where} names a user that is not there: '{names['user']}'")
    plugin = user.get("exec") or {}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "contexts": [{"name": context, "context": {"cluster": "cluster", "user": "user"}}],
        "clusters": [{"name": "cluster", "cluster": _in_files(cluster, private_dir)}],
        "users": [{"name": "user", "user": _in_files(_with_plugin(_with_token(user), cluster), private_dir)}],
    }
    return Access(
        context=context,
        server=server,
        namespace=str(entry.get("namespace") or FALLBACK_NAMESPACE),
        config=config,
        headers=_acting_as(user),
        plugin=str(plugin.get("command") or ""),
        install_hint=str(plugin.get("installHint") or "").strip(),
    )


def _server(cluster: Mapping[str, Any], name: str, where: str) -> str:
    """The address. Whatever takes it later would fail on a wrong one in words of its own."""
    server = str(cluster.get("server") or "").rstrip("/")
    try:
        parts = urlsplit(server)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        what = f"'{server}' is no address" if server else "it has no address"
        raise ClusterError(f"cluster '{name}' of {where}: {what}", "Write server: https://HOST:PORT there.")
    return server


def _in_files(entry: dict[str, Any], private_dir: Path) -> dict[str, Any]:
    """Keys and certificates as files that go with the directory. Data wins over a file of the same thing."""
    entry = dict(entry)
    for data, path_key in _SECRETS.items():
        if text := entry.pop(data, None):
            path = private_dir / path_key
            try:
                path.write_bytes(base64.b64decode(text, validate=True))
            except (binascii.Error, ValueError, TypeError) as error:
                raise ClusterError(f"the kubeconfig's {data} is not base64") from error
            path.chmod(0o600)
            entry[path_key] = str(path)
        if (path_text := entry.get(path_key)) and not Path(path_text).is_file():
            raise ClusterError(f"the kubeconfig names a file that is not there: {path_key}: {path_text}")
    return entry


def _with_token(user: dict[str, Any]) -> dict[str, Any]:
    if path := user.get("tokenFile"):
        try:
            return {**user, "token": Path(path).read_text(encoding="utf-8").strip()}
        except OSError as error:
            raise ClusterError(f"the kubeconfig's tokenFile cannot be read: {error}") from error
    return user


def _with_plugin(user: dict[str, Any], cluster: Mapping[str, Any]) -> dict[str, Any]:
    """Tells a plugin what it may ask for. Source: Kubernetes, "client-go credential plugins", input and output."""
    plugin = user.get("exec")
    if not plugin:
        return user
    spec: dict[str, Any] = {"interactive": False}
    if plugin.get("provideClusterInfo"):
        kept = ("server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority-data", "proxy-url")
        spec["cluster"] = {key: cluster[key] for key in kept if key in cluster}
        if "certificate-authority" in cluster and "certificate-authority-data" not in cluster:
            data = Path(cluster["certificate-authority"]).read_bytes()
            spec["cluster"]["certificate-authority-data"] = base64.b64encode(data).decode()
    told = {"apiVersion": plugin.get("apiVersion"), "kind": "ExecCredential", "spec": spec}
    environment = [*(plugin.get("env") or []), {"name": "KUBERNETES_EXEC_INFO", "value": json.dumps(told)}]
    return {**user, "exec": {**plugin, "env": environment}}


def _acting_as(user: Mapping[str, Any]) -> dict[str, str]:
    if groups := user.get("as-groups"):
        # A header for each: more than one cannot be said by a plain mapping.
        if len(groups) > 1:
            raise ClusterError("the kubeconfig acts as several groups (as-groups), which aiperf cannot")
        return {"Impersonate-User": str(user.get("as", "")), "Impersonate-Group": str(groups[0])}
    return {"Impersonate-User": str(user["as"])} if user.get("as") else {}


def _in_cluster(environment: Mapping[str, str], account_dir: Path) -> Access:
    """The pod's own cluster, as the pod's account, without any proxy: it is inside.

    Source: Kubernetes, "Accessing the Kubernetes API from a Pod".
    """
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise ClusterError("there is an account's token, and no KUBERNETES_SERVICE_HOST", "Name a kubeconfig.")
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    space = account_dir / "namespace"
    name = "in-cluster"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "clusters": [
            {"name": name, "cluster": {"server": server, "certificate-authority": str(account_dir / "ca.crt")}}
        ],
        "users": [{"name": name, "user": {"token": (account_dir / "token").read_text(encoding="utf-8").strip()}}],
    }
    namespace = space.read_text(encoding="utf-8").strip() if space.is_file() else FALLBACK_NAMESPACE
    return Access(context=name, server=server, namespace=namespace, config=config)
