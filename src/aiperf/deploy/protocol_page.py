"""`docs/protocol.md`: every socket and endpoint of a run, made from the layouts themselves.

Owns: the page. Does not own: layouts, channels, routes; they are asked, so the page cannot say other than they do.

`python -m aiperf.deploy.protocol_page FILE.md` writes it; `--check` only tells whether it is stale.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from starlette.routing import BaseRoute, Route, WebSocketRoute

from aiperf.api.contract import Uploadable
from aiperf.api.parcel import Shelf
from aiperf.api.routes_artifacts import artifact_routes
from aiperf.api.routes_dataset import dataset_routes, upload_routes
from aiperf.api.routes_run import run_routes
from aiperf.api.run_board import RunBoard
from aiperf.api.server import OPEN_PATHS
from aiperf.api.upload import Upload
from aiperf.deploy.kubernetes.ports import API_PORT, PORT_NAMES
from aiperf.deploy.layouts import kubernetes_layout, local_layout, memory_layout
from aiperf.service.bounds import BOUNDS
from aiperf.service.channels import CHANNELS, Channel
from aiperf.service.layout import Layout, ServiceType
from aiperf.wire.address import LOOPBACK, as_bound, is_exposed
from aiperf.wire.ports import Pattern

_RUN_ID = "run"
_SOCKETS = {Pattern.DIALOGUE: "dialogue (ROUTER, DEALER)", Pattern.FUNNEL: "funnel (PULL, PUSH; bounded)"}

_ENDPOINTS = {
    "/v1/run": ("the run as it stands", "operator"),
    "/v1/stop": ("the order to end the load", "operator"),
    "/v1/progress": ("progress, notices, the end, as they come", "operator"),
    "/v1/artifacts": ("the list of results", "operator; per-service: the controller from the records manager"),
    "/v1/artifacts/{name:path}": ("a result, compressed, in ranges", "as above"),
    "/v1/fetched": ("the results have arrived", "as above"),
    "/v1/uploads/input": ("the user's input file, in blocks", "operator"),
    "/v1/uploads/input/content": ("the same as a whole", "per-service: the dataset manager"),
    "/v1/uploads/tokenizer": ("the user's tokenizer, in blocks", "operator"),
    "/v1/uploads/tokenizer/content": ("the same as a whole", "per-service: the dataset manager"),
    "/v1/dataset/store": ("the compiled dataset", "workers, record processors; per-service: the records manager"),
    "/v1/dataset/tokenizer": ("the tokenizer it was compiled with", "record processors"),
}
"""What flows and who asks, by route. A route that is not here is an error when the page is made."""

_HEAD = """\
# Protocol

Every socket and endpoint of a run: who listens where, what flows, who may connect. This page is generated from the
layouts (`make docs`), so it says what runs. Names of pods are those of a run with the id `run`.

Who may connect: inside a machine, a socket lies in a folder that only the user can enter. Between pods, ZeroMQ sockets
use CURVE with a key pair made for the run: whoever has not its secret part can neither join nor inject nor read. The
HTTP API is TLS with a certificate made for the run, which clients pin, and refuses every request without the run's
token. Loopback inside a pod is in the clear: nobody else is there.
"""


def protocol_page() -> str:
    """The page as Markdown."""
    return "\n".join([_HEAD, *_channels(), *_bounds(), *_http(), *_calibration(), *_health(), *_ports()])


def _layouts() -> dict[str, Layout]:
    folder = Path("/WORK_DIR")
    layouts = {
        "memory": memory_layout(run_id=_RUN_ID, workers=2, processors=2, artifact_dir=folder, seed=0),
        "local": local_layout(run_id=_RUN_ID, workers=2, processors=2, artifact_dir=folder, work_dir=folder, seed=0),
    }
    for topology in ("compact", "per-service"):
        layouts[topology] = kubernetes_layout(
            run_id=_RUN_ID, topology=topology, workers=2, processors=2, seed=0, calibration_servers=1
        )
    return layouts


def _channels() -> Iterable[str]:
    yield "## Between services: ZeroMQ\n"
    yield from _row("channel", "listens", "relation", "connect", "what flows")
    yield from _row(*["---"] * 5)
    for channel in CHANNELS.values():
        connectors = ", ".join(channel.connectors)
        yield from _row(f"`{channel.kind}`", channel.binder.value, _SOCKETS[channel.pattern], connectors, channel.flows)
    yield "\nAddresses. Services of one host meet in the process (`inproc`); others by the address given here.\n"
    yield from _row("channel", *_layouts(), "CURVE in")
    yield from _row(*["---"] * (len(_layouts()) + 2))
    for channel in CHANNELS.values():
        addresses = {name: _address(layout, channel) for name, layout in _layouts().items()}
        keys = [name for name, address in addresses.items() if is_exposed(address)]
        yield from _row(f"`{channel.kind}`", *(f"`{address}`" for address in addresses.values()), ", ".join(keys))
    listens = sorted(
        {as_bound(_address(layout, channel)) for layout in _layouts().values() for channel in CHANNELS.values()}
    )
    yield f"\nPods listen at {', '.join(f'`{each}`' for each in listens if each.startswith('tcp'))}."


def _bounds() -> Iterable[str]:
    yield "\n## Bounds\n"
    yield "Nothing between services grows without a limit, and nothing makes a worker wait. Where something gathers:\n"
    yield from _row("where", "what", "bound", "when it is reached")
    yield from _row(*["---"] * 4)
    for bound in BOUNDS:
        yield from _row(*bound)


def _address(layout: Layout, channel: Channel) -> str:
    name = next(name for name in layout.addresses if name.partition("/")[0] == channel.kind)
    return layout.addresses[name][-1]


def _http() -> Iterable[str]:
    layouts = {name: layout for name, layout in _layouts().items() if not layout.shares_disk}
    yield "\n## HTTP API\n"
    yield f"By TLS at port {API_PORT}; what the requests look like: [api.md](api.md). Runs on one machine have none.\n"
    yield from _row("part", *layouts, "routes")
    yield from _row(*["---"] * (len(layouts) + 2))
    for part, prefix in (("run", "`/v1/run`, `/v1/progress`, `/v1/stop`, `/v1/uploads`, `/v1/artifacts`"),
                         ("dataset", "`/v1/dataset`"), ("results", "`/v1/artifacts`")):  # fmt: skip
        yield from _row(part, *(f"`{getattr(layout.apis, part)}`" for layout in layouts.values()), prefix)
    yield ""
    yield from _row("endpoint", "method", "what flows", "who asks", "needs")
    yield from _row(*["---"] * 5)
    methods: dict[str, list[str]] = {}
    for route in _routes():
        assert isinstance(route, Route | WebSocketRoute)
        told = ["WebSocket"] if isinstance(route, WebSocketRoute) else sorted((route.methods or set()) - {"HEAD"})
        methods.setdefault(route.path, []).extend(told)
    for path, each in methods.items():
        what, who = _ENDPOINTS[path]
        yield from _row(f"`{path.replace(':path', '')}`", ", ".join(each), what, who, "token")
    for path in OPEN_PATHS:
        yield from _row(f"`{path}`", "GET", "whether the controller is well", "anybody", "nothing")


def _routes() -> list[BaseRoute]:
    """Every route that is served, on whichever host."""
    shelf, nowhere = Shelf(Path("/nowhere")), Path("/nowhere")
    board = RunBoard(_RUN_ID, {})
    uploads = [route for what in Uploadable for route in upload_routes(what, Upload(nowhere), shelf, lambda _: None)]
    routes = [
        *run_routes(board, lambda _: None),
        *artifact_routes(shelf, is_over=lambda: False, fetched=lambda: None),
        *uploads,
        *dataset_routes(shelf, nowhere, nowhere),
    ]
    shelf.close()
    return routes


def _calibration() -> Iterable[str]:
    yield "\n## Calibration\n"
    yield "With `--calibrate` only: the built-in server, in a host of its own. Workers connect by plain HTTP, to"
    for name, layout in _layouts().items():
        yield from (f"- {name}: `{url}`" for url in layout.calibration_urls)
    yield f"- local: `http://{LOOPBACK}:PORT`, a free port that the command keeps for it."
    yield ""
    yield "What it sends is what [any endpoint](calibration.md) sends, and in `usage` when it was sent."


def _health() -> Iterable[str]:
    yield "\n## Health probes\n"
    yield "`/healthz` and `/readyz` by HTTP, for the kubelet, which asks from the pod's own node.\n"
    layouts = {name: layout for name, layout in _layouts().items() if not layout.shares_disk}
    yield from _row("host of", *layouts)
    yield from _row(*["---"] * (len(layouts) + 1))
    for kind in ServiceType:
        yield from _row(kind.value, *(f"port {layout.host_of(kind).health_port}" for layout in layouts.values()))


def _ports() -> Iterable[str]:
    yield "\n## Ports of pods\n"
    yield from _row("port", "name")
    yield from _row("---", "---")
    for port, name in PORT_NAMES.items():
        yield from _row(str(port), name)
    yield ""


def _row(*cells: str) -> list[str]:
    return [f"| {' | '.join(cells)} |"]


def main(argv: Sequence[str]) -> int:
    """Writes or checks the page. 0 if all is well, 1 if it is stale, 2 for wrong usage."""
    paths = [Path(word) for word in argv if word != "--check"]
    if len(paths) != 1:
        print("usage: python -m aiperf.deploy.protocol_page [--check] FILE.md", file=sys.stderr)
        return 2
    (path,), text = paths, protocol_page()
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return 0
    if "--check" in argv:
        print(f"{path} is stale: write it anew by `make docs`", file=sys.stderr)
        return 1
    path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
