"""The plan as the pods get it: what named places of the user's machine names places in a pod.

Owns: those places, and which fields change. Does not own: bringing files there (upload, volumes).
"""

from pathlib import Path, PurePosixPath
from typing import Any

from aiperf.api.contract import Uploadable
from aiperf.dataset import hub
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
        "tokenizer": {"tokenizer": pod_tokenizer(plan)},
        "results": {"artifact_dir": Path(POD_ARTIFACT_DIR)},
        "services": {"ui": "none"},
        # Of no use in a pod, and nobody's business there.
        "kubernetes": {
            "dataset_pvc": claim[0] if claim else None,
            "kubeconfig": None,
            "kubecontext": None,
            "pod_env": {},
        },
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
    return _uploaded(Uploadable.INPUT, Path(text)) if is_on_this_machine(plan) else text


def pod_tokenizer(plan: Plan) -> str | None:
    """The tokenizer by its name, or where it is once it was sent."""
    path = local_tokenizer(plan)
    return plan.tokenizer.tokenizer if path is None else _uploaded(Uploadable.TOKENIZER, path)


def user_files(plan: Plan) -> dict[Uploadable, Path]:
    """Files of the user's machine that the run needs there."""
    files = {}
    if plan.input.input_file is not None and is_on_this_machine(plan):
        files[Uploadable.INPUT] = Path(plan.input.input_file).expanduser()
    if (tokenizer := local_tokenizer(plan)) is not None:
        files[Uploadable.TOKENIZER] = tokenizer
    return files


def uploads(plan: Plan) -> dict[str, str]:
    """Where those files are in the pod that wants them."""
    return {what.value: _uploaded(what, path) for what, path in user_files(plan).items()}


def local_tokenizer(plan: Plan) -> Path | None:
    """The tokenizer's file, if it is one of this machine's; None if it is a name."""
    name = plan.tokenizer.tokenizer
    if name is None:
        return None
    path = Path(name).expanduser()
    try:
        return next((file for file in (path, path / hub.FILE_NAME) if file.is_file()), None)
    except OSError:  # longer than a file's name may be
        return None


def _uploaded(what: Uploadable, path: Path) -> str:
    return f"{UPLOAD_DIR}/{what.value}/{path.name}"


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
