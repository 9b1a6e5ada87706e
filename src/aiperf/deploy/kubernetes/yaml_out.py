"""Manifests as YAML that `kubectl apply` takes: several documents, in the order in which they must exist.

Owns: the form of the text, which is the same for the same objects. Does not own: the objects (`manifests`).
"""

from collections.abc import Sequence
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Keys in their own order, texts of several lines as such, nothing abbreviated by anchors."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 (the library's signature)
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def yaml_text(manifests: Sequence[dict[str, Any]]) -> str:
    """The documents, each begun by `---`."""
    documents = (
        yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=120)
        for manifest in manifests
    )
    return "".join(f"---\n{document}" for document in documents)
