"""The `usage` object in which servers report token counts.

Owns: where each count stands, spellings of single servers included. JSON object in, `Usage` out.
"""

import msgspec

from aiperf.endpoint.dialect import Usage

_Count = int | float | None


class _PromptDetails(msgspec.Struct, gc=False):
    cached_tokens: _Count = None


class _CompletionDetails(msgspec.Struct, gc=False):
    reasoning_tokens: _Count = None


class UsageObject(msgspec.Struct, gc=False):
    """`usage` as it stands in a chunk or a body."""

    prompt_tokens: _Count = None
    completion_tokens: _Count = None
    total_tokens: _Count = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    reasoning_tokens: _Count = None
    """SGLang has it here."""
    prompt_cache_hit_tokens: _Count = None
    """DeepSeek's name for cached tokens."""
    aiperf_sent_after_ns: tuple[int, ...] = ()
    """The built-in server's, when it serves a calibration."""

    def counts(self) -> Usage:
        """The counts; -1 where the server gives none."""
        prompt, completion = self.prompt_tokens_details, self.completion_tokens_details
        cached = prompt.cached_tokens if prompt else None
        reasoning = completion.reasoning_tokens if completion else None
        return Usage(
            _known(self.prompt_tokens),
            _known(self.completion_tokens),
            _known(self.total_tokens),
            _known(self.prompt_cache_hit_tokens if cached is None else cached),
            _known(self.reasoning_tokens if reasoning is None else reasoning),
            self.aiperf_sent_after_ns,
        )


def _known(count: int | float | None) -> int:
    # Bounded, because a server may send any number and a record holds 64 bits.
    return int(count) if count is not None and 0 <= count < 1 << 53 else -1
