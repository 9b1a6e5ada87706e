"""Everything that a run's manifests are made from, decided.

Owns: the blueprint's form, the run's secrets, what follows from them by name. Does not own: the manifests, making keys.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from aiperf import __version__
from aiperf.deploy.kubernetes.names import Component, Names, names_of, object_labels
from aiperf.deploy.kubernetes.pod_environment import PodEnvironment
from aiperf.deploy.kubernetes.sizing import Sizing
from aiperf.plan.kubernetes import KubernetesPlan
from aiperf.plan.plan import Plan
from aiperf.service.layout import Layout

IMAGE_REPOSITORY = "aiperf"
"""Of the default image. Without a registry: what was built or loaded where the cluster runs."""


@dataclass(frozen=True, slots=True)
class RunSecrets:
    """What only the run's own pods may know. Made anew for each run."""

    token: str = field(repr=False)
    """Of the HTTP API."""
    wire_keys: str = field(repr=False)
    """Of the sockets between pods, as JSON."""
    private_plan: str = field(repr=False)
    """The plan with the endpoint's keys (`plan.dumps.private_dump`)."""
    api_certificate: str = field(repr=False)
    """PEM."""
    api_private_key: str = field(repr=False)
    """PEM; for the controller's eyes only."""


class Account(StrEnum):
    """By which rights the controller speaks to the cluster."""

    OWN = "own"
    """An account and a Role of the run, with what it needs and no more."""
    GIVEN = "given"
    """An account that exists (`--service-account`), with whatever rights it has."""
    NONE = "none"
    """No access: for users who may not create Roles. The run works; why a worker was lost stays unknown."""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """One run in one namespace."""

    plan: Plan
    """As the pods get it (`pod_plan`)."""
    layout: Layout
    sizing: Sizing
    namespace: str
    owns_namespace: bool
    """Made for this run, and to be removed with it."""
    account: Account
    work_s: int
    """After which everything but serving results has failed."""
    controller_s: int | None
    """After which the controller has failed; None: never."""
    secrets: RunSecrets | None
    """None: made in the cluster, by a controller that nobody started (`standalone`)."""
    ca_pem: str = ""
    """Certificate authorities of the endpoint."""
    environment: PodEnvironment = field(default_factory=PodEnvironment, repr=False)
    """What the user's environment gives to the containers."""

    @property
    def run_id(self) -> str:
        return self.layout.run_id

    @property
    def names(self) -> Names:
        return names_of(self.run_id)

    @property
    def cluster(self) -> KubernetesPlan:
        return self.plan.kubernetes

    @property
    def standalone(self) -> bool:
        """Nobody starts and watches this run: `kubectl apply` and nothing else."""
        return self.secrets is None

    @property
    def image(self) -> str:
        return self.cluster.image or f"{IMAGE_REPOSITORY}:{__version__}"

    @property
    def controller_account(self) -> str | None:
        """Name of the controller's account; None: no access."""
        own = self.names.controller_account
        return {Account.OWN: own, Account.GIVEN: self.cluster.service_account, Account.NONE: None}[self.account]

    def metadata(self, name: str, component: Component | None = None) -> dict[str, object]:
        """Of an object in the run's namespace."""
        return {
            "name": name,
            "namespace": self.namespace,
            "labels": self.labels(component),
            **self.annotations(),
        }

    def labels(self, component: Component | None = None) -> dict[str, str]:
        return object_labels(self.run_id, self.plan.endpoint.models[0], self.cluster.labels, component)

    def annotations(self) -> dict[str, dict[str, str]]:
        """The key with the user's annotations; nothing if there are none."""
        return {"annotations": dict(self.cluster.annotations)} if self.cluster.annotations else {}
