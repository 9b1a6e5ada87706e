"""The forms of what Kubernetes names and matches: objects, labels, tolerations, images.

Owns: judging them before a cluster would refuse them, with a one-line reason. Does not own: which field has which form
(`kubernetes`), sizes (`quantities`).

Source: Kubernetes, apimachinery `validation` (RFC 1123 names, qualified names, label values).
"""

import ipaddress
import re
from typing import NamedTuple

_DNS_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_SUBDOMAIN = rf"{_DNS_LABEL}(\.{_DNS_LABEL})*"
_NAME_PART = r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
DNS_LABEL_LENGTH_MAX = 63
_DNS_SUBDOMAIN_LENGTH_MAX = 253

OWN_PREFIX = "aiperf"
_RESERVED_PREFIXES = (OWN_PREFIX, "app.kubernetes.io", "batch.kubernetes.io", "kubernetes.io", "k8s.io")

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


class Toleration(NamedTuple):
    """What a pod bears with on a node. None stands for any value, and for every effect."""

    key: str
    value: str | None
    effect: str | None


def is_dns_label(text: str) -> bool:
    """Whether this may name a namespace, a Service, or be one part of a host's name (RFC 1123)."""
    return len(text) <= DNS_LABEL_LENGTH_MAX and re.fullmatch(_DNS_LABEL, text) is not None


def dns_label(text: str) -> str:
    """The text itself. Raises: ValueError if it cannot name a namespace."""
    if not is_dns_label(text):
        raise ValueError(
            f"'{text}' is not a name for this: lower-case letters, digits and dashes, at most {DNS_LABEL_LENGTH_MAX}, "
            "with a letter or digit at both ends"
        )
    return text


def dns_subdomain(text: str) -> str:
    """The text itself. Raises: ValueError if it cannot name a Secret, a claim or an account."""
    if len(text) > _DNS_SUBDOMAIN_LENGTH_MAX or re.fullmatch(_DNS_SUBDOMAIN, text) is None:
        raise ValueError(
            f"'{text}' is not the name of such an object: lower-case letters, digits, dashes and dots, with a "
            "letter or digit at both ends"
        )
    return text


def label_key(text: str) -> str:
    """The text itself. Raises: ValueError if it is no key of a label or annotation."""
    prefix, slash, name = text.rpartition("/")
    sound = len(name) <= 63 and re.fullmatch(_NAME_PART, name) is not None
    if slash:
        sound = sound and len(prefix) <= _DNS_SUBDOMAIN_LENGTH_MAX and re.fullmatch(_DNS_SUBDOMAIN, prefix) is not None
    if not sound:
        raise ValueError(f"'{text}' is not the key of a label: write name or domain/name")
    return text


def own_label_key(text: str) -> str:
    """The text itself. Raises: ValueError if it is no key that a user may set on this tool's objects."""
    if label_key(text).rpartition("/")[0] in _RESERVED_PREFIXES:
        raise ValueError(
            f"'{text}' is not yours to set: keys in {text.rpartition('/')[0]}/ are aiperf's or Kubernetes'"
        )
    return text


def label_value(text: str) -> str:
    """The text itself; it may be empty. Raises: ValueError if it is no value of a label."""
    if text and (len(text) > 63 or re.fullmatch(_NAME_PART, text) is None):
        raise ValueError(
            f"'{text}' is not the value of a label: letters, digits, dashes, dots and underscores, at most 63; "
            "several labels are several flags"
        )
    return text


def image_name(text: str) -> str:
    """The text itself. Raises: ValueError if it is no reference to an image."""
    if re.fullmatch(r"[A-Za-z0-9][\w.:/@-]*", text, re.ASCII) is None or "://" in text:
        raise ValueError(f"'{text}' is not an image: write registry/name:tag or registry/name@sha256:…")
    return text


def ip_address(text: str) -> str:
    """The text itself. Raises: ValueError if it is no IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"'{text}' is not an IP address") from None
    return text


OWN_VARIABLES = ("AIPERF_", "POD_", "KUBERNETES_")
_FIXED_VARIABLES = ("HOME", "TMPDIR", "HF_HOME", "NODE_NAME", "PATH")


def variable_name(text: str) -> str:
    """The text itself. Raises: ValueError if it is no variable that a user may set in the run's containers."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text, re.ASCII) is None:
        raise ValueError(f"'{text}' is not the name of an environment variable")
    if text.startswith(OWN_VARIABLES) or text in _FIXED_VARIABLES:
        raise ValueError(f"{text} is set by aiperf or the cluster in every container")
    return text


def toleration_text(text: str) -> str:
    """The text itself. Raises: ValueError if it is no toleration."""
    read_toleration(text)
    return text


def read_toleration(text: str) -> Toleration:
    """Of `key=value:Effect`, `key:Effect`, `key=value` or `key`. Raises: ValueError with the reason."""
    match, colon, effect = text.partition(":")
    key, equals, value = match.partition("=")
    if colon and effect not in EFFECTS:
        raise ValueError(f"'{text}': the effect is one of {', '.join(EFFECTS)}")
    return Toleration(label_key(key), label_value(value) if equals else None, effect or None)
