"""How a pod is, in plain words: what it waits for, what went wrong, how it ended.

Owns: a pod's status and events → `PodState`; what a Job's events tell of pods that were never made; lines for people.
Does not own: watching (`cluster`), what to do about a loss (the controller, the service manager).

Source: Kubernetes, "Pod Lifecycle"; reasons as kubelet (`pkg/kubelet/images`, `kuberuntime`) and scheduler write
them.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aiperf.deploy.kubernetes.names import LABEL_COMPONENT
from aiperf.errors import ExitCode

INDEX_LABEL = "batch.kubernetes.io/job-completion-index"
LAST_WORDS_MAX = 400
LAST_WORDS_LINES = 5
LINES_MAX = 6

Object = Mapping[str, Any]

_NEVER_BY_ITSELF = {"ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError", "RunContainerError"}
"""Reasons of waiting containers that only a person can end."""
_PULLING = {"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError"}


@dataclass(frozen=True, slots=True)
class PodState:
    name: str
    component: str
    index: int | None
    """Of a worker or record processor."""
    phase: str
    """`Pending`, `Running`, `Succeeded`, `Failed`, as the API says; `Deleted` for one that is going."""
    ready: bool
    trouble: str = ""
    """What it waits for, or what went wrong; empty if all is well."""
    fatal: bool = False
    """It will not get better by waiting."""
    ended: str = ""
    """How it ended, in words; empty while it lives."""
    exit_code: int | None = None
    """Of its main container, once that has ended."""
    node: str = ""
    last_words: str = ""
    """The end of what a failed container wrote."""

    @property
    def short_name(self) -> str:
        """`worker-3`, as people speak of it."""
        return self.component if self.index is None else f"{self.component}-{self.index}"


def pod_state(pod: Object, events: Sequence[Object] = (), *, deleted: bool = False) -> PodState:
    """The state of a pod. `events`: those about it, oldest first. `deleted`: it is there no more."""
    metadata, status = pod["metadata"], pod.get("status", {})
    labels = metadata.get("labels", {})
    component = labels.get(LABEL_COMPONENT, "pod")
    index = labels.get(INDEX_LABEL)
    phase = "Deleted" if deleted or metadata.get("deletionTimestamp") else status.get("phase", "Pending")
    verdict = _verdict(pod, phase, component, events)
    if phase == "Deleted" and not deleted and _runs(status, component):
        # It was told to go, and has its grace: what it hands over meanwhile counts.
        verdict = replace(verdict, ended="")
    return PodState(
        name=metadata["name"],
        component=component,
        index=int(index) if index is not None else None,
        phase=phase,
        ready=phase == "Running" and _condition(status, "Ready").get("status") == "True",
        trouble=verdict.trouble,
        fatal=verdict.fatal,
        ended=verdict.ended,
        exit_code=verdict.exit_code,
        node=pod.get("spec", {}).get("nodeName", ""),
        last_words=verdict.last_words,
    )


@dataclass(frozen=True, slots=True)
class _Verdict:
    trouble: str = ""
    fatal: bool = False
    ended: str = ""
    exit_code: int | None = None
    last_words: str = ""


def _verdict(pod: Object, phase: str, component: str, events: Sequence[Object]) -> _Verdict:
    status = pod.get("status", {})
    statuses = _container_statuses(status)
    if phase in ("Failed", "Succeeded", "Deleted"):
        return _end(status, phase, component, statuses)
    if _condition(status, "Ready").get("reason") == "NodeLost" or status.get("reason") == "NodeLost":
        return _Verdict(f"its node {pod['spec'].get('nodeName', '')} does not answer")
    if (crashed := _crashed(component, statuses)) is not None:
        return crashed
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False":
        if scheduled.get("reason") == "SchedulingGated":
            return _Verdict("held back from being scheduled by a scheduling gate")
        return _Verdict(f"no node takes it: {unschedulable_text(str(scheduled.get('message', '')))}")
    for each in statuses:
        if waiting := each.get("state", {}).get("waiting"):
            verdict = _waiting(each, waiting, events)
            if verdict.trouble:
                return verdict
    if not scheduled:
        return _Verdict("waits to be scheduled")
    if not statuses or any("waiting" in each.get("state", {}) for each in statuses):
        return _starting(events)
    if any(not each.get("ready") for each in statuses):
        return _Verdict("its services start")
    return _Verdict()


def _starting(events: Sequence[Object]) -> _Verdict:
    """On a node, with no container running yet: the last event tells what takes so long."""
    for event in reversed(events):
        reason, message = event.get("reason", ""), _one_line(str(event.get("message", "")))
        if reason in ("FailedMount", "FailedAttachVolume"):
            missing = re.search(r'(secret|configmap) "([^"]+)" not found', message)
            what = f"waits for {missing[1]} {missing[2]}, which is not there" if missing else f"a volume: {message}"
            return _Verdict(what)
        if reason == "FailedCreatePodSandBox":
            return _Verdict(f"its node cannot make the pod: {_cut(message)}")
        if reason == "Pulling":
            return _Verdict("its image is being pulled")
        if reason in ("Pulled", "Created", "Started"):
            break
    return _Verdict("its containers are being made")


def _waiting(each: Object, waiting: Object, events: Sequence[Object]) -> _Verdict:
    reason, message = str(waiting.get("reason", "")), _one_line(str(waiting.get("message", "")))
    image = each.get("image", "")
    match reason:
        case "ErrImageNeverPull":
            return _Verdict(f"image {image} is not on the node, and is never pulled (--image-pull-policy)", True)
        case "InvalidImageName":
            return _Verdict(f"'{image}' is no name of an image (--image)", True)
        case "CreateContainerConfigError":
            missing = re.search(r'(secret|configmap) "([^"]+)" not found', message)
            what = f"{missing[1]} {missing[2]} is not there" if missing else message
            return _Verdict(f"its container cannot be set up: {what}", True)
        case "CreateContainerError" | "RunContainerError" | "StartError":
            return _Verdict(f"its container cannot be started: {_cut(message)}", reason in _NEVER_BY_ITSELF)
        case _ if reason in _PULLING:
            return _Verdict(
                f"image {image} cannot be pulled: {_pull_text(message, events)}", _is_hopeless_pull(message)
            )
    return _Verdict()


def _pull_text(message: str, events: Sequence[Object]) -> str:
    """The registry's reason. The container's own message is only "Back-off pulling image" every other time."""
    if message.startswith("Back-off") and "rror" not in message:
        for event in reversed(events):
            if event.get("reason") == "Failed" and "pull" in str(event.get("message", "")):
                message = _one_line(str(event["message"]))
                break
    detail = re.sub(r"^.*?(rpc error: code = \w+ desc = )", "", message)
    if re.search(r"not found|manifest unknown|does not exist|NotFound", detail):
        return "there is no such image (--image)"
    if re.search(r"401|403|denied|unauthorized|authentication required", detail, re.IGNORECASE):
        return "the registry wants credentials (--image-pull-secret)"
    if re.search(r"no such host|i/o timeout|connection refused|dial tcp|server misbehaving", detail):
        return f"its registry cannot be reached from the node: {_cut(re.sub(r'^.*?(?=dial tcp)', '', detail))}"
    return _cut(detail) or "no reason given"


def _is_hopeless_pull(message: str) -> bool:
    """Whether the registry has answered, and said no. One that is not reached may be in a moment."""
    return bool(re.search(r"not found|manifest unknown|denied|unauthorized|401|403", message, re.IGNORECASE))


def _crashed(component: str, statuses: Sequence[Object]) -> _Verdict | None:
    """A container that ended with a failure although the pod goes on, or that is started again and again."""
    for each in statuses:
        over = each.get("state", {}).get("terminated") or each.get("lastState", {}).get("terminated")
        again = each.get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff"
        if over and (over.get("exitCode") or again):
            text, words = _termination(each["name"], each, over)
            times = f" ({each['restartCount']} times)" if each.get("restartCount", 0) > 1 else ""
            what = f"container {each['name']} " if each["name"] != component else ""
            return _Verdict(f"{what}{text}{times}", again, exit_code=over.get("exitCode"), last_words=words)
    return None


def _end(status: Object, phase: str, component: str, statuses: Sequence[Object]) -> _Verdict:
    main = next((each for each in statuses if each["name"] == component), statuses[-1] if statuses else None)
    over = (main or {}).get("state", {}).get("terminated")
    code = over.get("exitCode") if over else None
    disruption = _condition(status, "DisruptionTarget")
    reason, message = str(status.get("reason", "")), _one_line(str(status.get("message", "")))
    if phase == "Succeeded":
        return _Verdict(ended="finished", exit_code=code)
    if reason == "Evicted":
        text = f"evicted: {_cut(message)}"
    elif reason == "DeadlineExceeded":
        text = "stopped: its time was up"
    elif reason in ("NodeLost", "NodeShutdown", "Terminated") or disruption.get("reason") == "DeletionByPodGC":
        text = f"its node went away{f': {_cut(message)}' if message else ''}"
    elif disruption.get("status") == "True":
        text = f"taken away by the cluster: {_disruption(disruption)}"
    elif main is not None and over and (code or phase == "Failed"):
        text, words = _termination(main["name"], main, over)
        return _Verdict(text, True, text, code, words)
    elif phase == "Deleted":
        return _Verdict("it is being deleted", ended="deleted", exit_code=code)
    else:
        text = f"failed: {reason or 'no reason given'}{f' ({_cut(message)})' if message else ''}"
    return _Verdict(text, True, text, code)


def _disruption(condition: Object) -> str:
    reasons = {
        "PreemptionByScheduler": "a pod of higher priority needed its place",
        "DeletionByTaintManager": "its node was tainted",
        "EvictionByEvictionAPI": "its node is being drained",
        "TerminationByKubelet": "its node ran short, or shuts down",
    }
    reason = str(condition.get("reason", ""))
    return reasons.get(reason, _one_line(str(condition.get("message", ""))) or reason)


def _termination(name: str, each: Object, over: Object) -> tuple[str, str]:
    """How a container ended, and its last words. Source: exit codes of README.md; 128 + signal, as shells have it."""
    code, reason = over.get("exitCode"), over.get("reason", "")
    words = _last_words(str(over.get("message", "")))
    flag = f"--{name}-memory"
    if reason == "OOMKilled":
        limit = (each.get("resources") or {}).get("limits", {}).get("memory")
        return f"killed: out of memory at its limit{f' of {limit}' if limit else ''}; raise {flag}", words
    if reason == "ContainerCannotRun":
        return f"could not be started: {words}", words
    known = {
        int(ExitCode.USAGE): "refused its plan or command line (exit code 2; is the image of another version?)",
        int(ExitCode.BUG): "ended by a bug in aiperf (exit code 70)",
        int(ExitCode.NOT_VALID): "ended with a verdict that --require-valid does not allow (exit code 5)",
        137: f"killed (exit code 137); if memory is short on its node, raise {flag}",
        int(ExitCode.DISMISSED): "told to leave by the controller (exit code 75)",
        143: "ended by SIGTERM",
    }
    text = known.get(int(code or 0), f"ended with exit code {code}")
    return f"{text}{f': {words.splitlines()[-1]}' if words else ''}", words


def unschedulable_text(message: str) -> str:
    """The scheduler's message shortened: counts of nodes and what each lacks.

    `0/3 nodes are available: 2 Insufficient memory, 1 node(s) had untolerated taint(s). preemption: …` becomes
    `of 3 nodes, 2 lack memory, 1 has a taint (--toleration)`.
    """
    match = re.match(r"0/(\d+) nodes are available: (.*?)\.?(?:\. .*)?$", _one_line(message))
    if match is None:
        return _cut(_one_line(message)) or "no reason given yet"
    reasons = [_lack(part.strip()) for part in re.split(r", (?=\d+ )", match[2]) if part.strip()]
    nodes = "the only node" if match[1] == "1" else f"of {match[1]} nodes"
    if match[1] == "1":
        return f"{nodes} {'; '.join(re.sub(r'^1 ', '', reason) for reason in reasons)}"
    return f"{nodes}, {', '.join(reasons)}"


_LACKS = (
    (r"Insufficient cpu", "lack{s} CPU"),
    (r"Insufficient memory", "lack{s} memory"),
    (r"Insufficient (\S+)", r"lack{s} \1"),
    (r"Too many pods", "{have} all the pods that it may"),
    (r"node\(s\) had untolerated taints?(?:\(s\))? ?(?:\{([^}]*)\})?.*", r"{have} a taint \1 (--toleration)"),
    (r"node\(s\) didn't match Pod's node affinity/selector", "{have} not the labels asked for (--node-selector)"),
    (r"node\(s\) were unschedulable", "{take} no pods (cordoned)"),
    (r"node\(s\) had volume node affinity conflict", "cannot reach the claim's volume"),
)


def _lack(part: str) -> str:
    count, _, rest = part.partition(" ")
    one = count == "1"
    grammar = {"s": "s" if one else "", "have": "has" if one else "have", "take": "takes" if one else "take"}
    for pattern, text in _LACKS:
        if match := re.fullmatch(pattern, rest):
            plain = text.format(**grammar)
            for number, group in enumerate(match.groups(), start=1):
                plain = plain.replace(f"\\{number}", (group or "").rstrip(": "))
            return f"{count} {re.sub(r'  +', ' ', plain)}"
    return part


def creation_trouble(events: Iterable[Object]) -> str:
    """Why a Job's pods are not made, from the Job's events; empty if nothing of the kind is known."""
    failed = [event for event in events if event.get("reason") == "FailedCreate"]
    if not failed:
        return ""
    message = _one_line(str(failed[-1].get("message", "")))
    if "exceeded quota" in message:
        return f"the namespace's quota is used up: {_cut(message.partition('exceeded quota: ')[2])}"
    if "failed quota" in message:
        return f"the namespace's quota wants more stated of each pod: {_cut(message.partition('failed quota: ')[2])}"
    if "violates PodSecurity" in message:
        return f"the namespace's Pod Security level refuses them: {_cut(message.partition('violates PodSecurity ')[2])}"
    if "admission webhook" in message:
        return f"a webhook of the cluster refuses them: {_cut(message.partition('admission webhook ')[2])}"
    if "error looking up service account" in message or "serviceaccount" in message:
        return f"their account is not there: {_cut(message.partition('forbidden: ')[2] or message)}"
    return _cut(message.partition("is forbidden: ")[2] or message)


def startup_lines(states: Sequence[PodState], planned: int, creation: str = "") -> list[str]:
    """How far the start is: a count, then what pods wait for, the same trouble of many in one line.

    `creation`: why pods are missing (`creation_trouble`).
    """
    live = [state for state in states if state.phase != "Deleted"]
    ready = sum(state.ready or state.phase == "Succeeded" for state in live)
    lines = [f"{ready:,} of {planned:,} pods ready"]
    if (missing := planned - len(live)) > 0:
        lines.append(f"{missing:,} not made yet{f': {creation}' if creation else ''}")
    troubles = Counter(state.trouble for state in live if state.trouble and not state.ready)
    for trouble, count in troubles.most_common(LINES_MAX):
        first = next(state for state in live if state.trouble == trouble)
        who = first.short_name if count == 1 else f"{first.short_name} and {count - 1:,} more"
        lines.append(f"{who}: {trouble}")
    if (more := len(troubles) - LINES_MAX) > 0:
        lines.append(f"and {more} other reasons")
    return lines


def _runs(status: Object, component: str) -> bool:
    """Whether the pod's own container still does."""
    return any(each["name"] == component and "running" in each.get("state", {}) for each in _container_statuses(status))


def _container_statuses(status: Object) -> list[Object]:
    return [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]


def _condition(status: Object, kind: str) -> Object:
    return next((each for each in status.get("conditions", []) if each.get("type") == kind), {})


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cut(text: str, length_max: int = 300) -> str:
    return text if len(text) <= length_max else f"{text[: length_max - 1]}…"


def _last_words(text: str) -> str:
    """The last lines of a termination message."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-LAST_WORDS_LINES:])[-LAST_WORDS_MAX:]
