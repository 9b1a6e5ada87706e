"""What a run's objects are called, and the labels by which they are found.

Owns: names that are unique to the run, labels, annotations. Does not own: the objects (`manifests` and its neighbours).

Run id → names that are valid wherever they are used: as an object's name, a label's value, a part of a host's name.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from aiperf import __version__
from aiperf.plan.kubernetes_values import DNS_LABEL_LENGTH_MAX
from aiperf.service.layout import Host, ServiceType

LABEL_RUN_ID = "aiperf/run-id"
LABEL_COMPONENT = "app.kubernetes.io/component"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_MODEL = "aiperf/model"
ANNOTATION_EXPIRES_AT = "aiperf/expires-at"
"""Of a namespace that was made for a run: whoever finds it later than this (RFC 3339, UTC) may remove it."""

MANAGER = "aiperf"


class Component(StrEnum):
    """What a pod or container is there for. Also its container's name."""

    CONTROLLER = "controller"
    """Runs the system controller; in the compact topology, every other service that there is once as well."""
    WORKER_MANAGER = "worker-manager"
    DATASET_MANAGER = "dataset-manager"
    TIMING_MANAGER = "timing-manager"
    RECORDS_MANAGER = "records-manager"
    RECORD_PROCESSOR = "record-processor"
    WORKER = "worker"
    CALIBRATION_SERVER = "calibration-server"
    """Only where a calibration is asked for."""


INDEXED = (Component.WORKER, Component.RECORD_PROCESSOR, Component.CALIBRATION_SERVER)
"""Of these there may be many, each with its number."""

_BASE_LENGTH_MAX = DNS_LABEL_LENGTH_MAX - len("-calibration-server") - len("-99999")
"""A pod of an Indexed Job has the Job's name, a dash and its index as its host name."""


@dataclass(frozen=True, slots=True)
class Names:
    """Of one run's objects."""

    base: str

    @property
    def namespace(self) -> str:
        """When none was asked for."""
        return self.base

    @property
    def service(self) -> str:
        """The headless Service that gives pods their DNS names."""
        return self.base

    @property
    def access_service(self) -> str:
        return f"{self.base}-access"

    @property
    def config_map(self) -> str:
        return f"{self.base}-plan"

    @property
    def secret(self) -> str:
        return f"{self.base}-keys"

    @property
    def controller_account(self) -> str:
        """Of ServiceAccount, Role and RoleBinding."""
        return f"{self.base}-controller"

    @property
    def network_policy(self) -> str:
        return self.base

    def job(self, component: Component) -> str:
        return f"{self.base}-{component.value}"

    def dns_name(self, component: Component, index: int | None = None) -> str:
        """As seen from the run's namespace: one name part and the Service, which the first search domain completes."""
        host = component.value if index is None else f"{self.job(component)}-{index}"
        return f"{host}.{self.service}"


def names_of(run_id: str) -> Names:
    """The names of a run. Two runs have different ones, whatever their ids are made of."""
    return Names(f"{MANAGER}-{_dns_part(run_id, _BASE_LENGTH_MAX - len(MANAGER) - 1)}")


def component_of(host: Host) -> Component:
    """What the pod (or container) of this host is there for."""
    kinds = [seat.service_type for seat in host.services]
    if ServiceType.SYSTEM_CONTROLLER in kinds:
        return Component.CONTROLLER
    return Component(kinds[0].value)


def run_labels(run_id: str) -> dict[str, str]:
    """What all objects of a run have in common: a selector for them."""
    return {LABEL_RUN_ID: label_text(run_id), LABEL_MANAGED_BY: MANAGER}


def object_labels(
    run_id: str, model: str, own: Mapping[str, str], component: Component | None = None
) -> dict[str, str]:
    """Labels of an object: the user's, and ours. Ours cannot be replaced."""
    return {
        **own,
        "app.kubernetes.io/name": MANAGER,
        "app.kubernetes.io/instance": names_of(run_id).base,
        "app.kubernetes.io/version": label_text(__version__),
        **run_labels(run_id),
        LABEL_MODEL: label_text(model),
        **({LABEL_COMPONENT: component.value} if component else {}),
    }


def label_text(text: str) -> str:
    """The text as a label's value: as it is where it can be one; else what is left of it, and a hash of the whole."""
    kept = re.sub(r"[^A-Za-z0-9_.-]", "_", text)[:DNS_LABEL_LENGTH_MAX]
    if kept == text and re.fullmatch(r"([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?", kept):
        return kept
    kept = re.sub(r"^[^A-Za-z0-9]+", "", kept)[: DNS_LABEL_LENGTH_MAX - _HASH_LENGTH - 1]
    return f"{kept}-{_hash(text)}" if kept else _hash(text)


_HASH_LENGTH = 8


def _dns_part(text: str, length_max: int) -> str:
    """As `label_text`, for a name's end: lower case, digits and dashes."""
    kept = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if kept == text and 0 < len(kept) <= length_max:
        return kept
    kept = kept[: length_max - _HASH_LENGTH - 1].strip("-")
    return f"{kept}-{_hash(text)}" if kept else _hash(text)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_LENGTH]
