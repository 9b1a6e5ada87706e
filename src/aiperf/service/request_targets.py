"""Where requests go, and with which head: to the endpoint, or in a calibration to the built-in server.

Owns: plan and layout → targets and heads. Does not own: connections (`aiperf.endpoint`), which of them a request takes
(`worker`).
"""

from aiperf.endpoint.dialects import DIALECTS
from aiperf.endpoint.request_head import RequestHead
from aiperf.endpoint.target import Target
from aiperf.plan.plan import Plan
from aiperf.service.layout import Layout


def inference_path(plan: Plan) -> str:
    """The path of requests, after the base URL."""
    return plan.endpoint.endpoint_path or DIALECTS[plan.endpoint.endpoint_type].path


def endpoint_targets(plan: Plan) -> list[Target]:
    """Where inference requests go, by URL."""
    endpoint, path = plan.endpoint, inference_path(plan)
    return [Target.from_url(url, path, ca_file=endpoint.ca_file, insecure=endpoint.insecure) for url in endpoint.urls]


def endpoint_head(plan: Plan, target: Target, method: str = "POST") -> RequestHead:
    """The head of every request to the endpoint."""
    endpoint = plan.endpoint
    return RequestHead(
        path=target.path,
        host=target.host_header,
        headers=endpoint.headers,
        api_key=endpoint.api_key.get_secret_value() if endpoint.api_key else None,
        streaming=endpoint.streaming and method == "POST",
        keep_alive=endpoint.connection_reuse != "never",
        method=method,
        session_header=endpoint.session_header,
    )


def calibration_targets(plan: Plan, layout: Layout) -> list[Target]:
    """Where requests of a calibration go: by the dialect's own path, whatever the endpoint's is."""
    return [Target.from_url(url, DIALECTS[plan.endpoint.endpoint_type].path) for url in layout.calibration_urls]


def calibration_head(plan: Plan, target: Target) -> RequestHead:
    """Without what is meant for the endpoint alone: its key and headers."""
    return RequestHead(
        path=target.path,
        host=target.host_header,
        headers={},
        api_key=None,
        streaming=plan.endpoint.streaming,
        keep_alive=plan.endpoint.connection_reuse != "never",
    )
