"""The API dialects by the name that `--endpoint-type` takes. To add one: write its class, add its line."""

from aiperf.endpoint.chat import Chat
from aiperf.endpoint.completions import Completions
from aiperf.endpoint.dialect import Dialect

DIALECTS: dict[str, Dialect] = {
    "chat": Chat(),
    "completions": Completions(),
}
