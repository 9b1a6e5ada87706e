"""The plan as the pods get it: what named places of the user's machine names places in a pod.

Owns: those places, and which fields change. Does not own: bringing files there (upload, volumes).
"""

from pathlib import Path, PurePosixPath
from typing import Any

from aiperf.deploy.layouts import POD_ARTIFACT_DIR, POD_DATA_DIR
from aiperf.plan.kubernetes_checks import PVC_SCHEME, is_on_this_machine
from aiperf.plan.plan import Plan

RUN_DIR = "/run/aiperf"
"""Layout, plan and keys; can only be read."""
CLAIM_DIR = "/dataset"
"""Where the claim with the input file is mounted, at the dataset manager."""
UPLOAD_DIR = f"{POD_DATA_DIR}/uploads"
"""Where the controller puts what the user's machine sends."""
CA_NAME = "ca.pem"


def pod_plan(plan: Plan) -> Plan:
    """The plan with every path as seen in a pod, and nothing shown to anybody there."""
    claim = dataset_claim(plan)
    changes: dict[str, dict[str, Any]] = {
        "endpoint": {"ca_file": Path(RUN_DIR, CA_NAME)} if plan.endpoint.ca_file else {},
        "input": {"input_file": pod_input_file(plan)},
        "results": {"artifact_dir": Path(POD_ARTIFACT_DIR)},
        "services": {"ui": "none"},
        # Of no use in a pod, and nobody's business there.
        "kubernetes": {"dataset_pvc": claim[0] if claim else None, "kubeconfig": None, "kubecontext": None},
    }
    return plan.model_copy(
        update={name: getattr(plan, name).model_copy(update=fields) for name, fields in changes.items()}
    )


def pod_input_file(plan: Plan) -> str | None:
    """Where the dataset manager finds the input file; an address is left as it is."""
    text = plan.input.input_file
    if text is None:
        return None
    if (found := dataset_claim(plan)) is not None:
        return str(PurePosixPath(CLAIM_DIR, found[1]))
    return f"{UPLOAD_DIR}/{Path(text).name}" if is_on_this_machine(plan) else text


def dataset_claim(plan: Plan) -> tuple[str, str] | None:
    """The claim that holds the input file, and the path in it; None if the file is elsewhere."""
    text = plan.input.input_file
    if text is None:
        return None
    if text.startswith(PVC_SCHEME):
        claim, _, path = text.removeprefix(PVC_SCHEME).partition("/")
        return claim, path.lstrip("/")
    if plan.kubernetes.dataset_pvc is not None:
        return plan.kubernetes.dataset_pvc, text.lstrip("/")
    return None
