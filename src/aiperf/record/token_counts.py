"""Whose token counts a record carries, and the counting of what no server counted.

Owns: the token columns of a record: the server's `usage` where it is wanted and present, the tokenizer elsewhere. Does
not own: tokenizers (`aiperf.dataset`), when texts are kept (`answer`).

Texts to be counted are collected and counted together, since tokenizers are far quicker in batches.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from aiperf.endpoint.dialect import Usage
from aiperf.record.answer import Answer
from aiperf.record.facts import NONE, FactsArray, TokenSource

CountTokens = Callable[[Sequence[str]], list[int]]
"""Tokens of each text, without special tokens."""

NO_USAGE = Usage()


class TokenPolicy(StrEnum):
    """Who is asked for token counts."""

    SERVER_PREFERRED = "server_preferred"
    """The server's `usage`; the tokenizer where there is none."""
    SERVER_ONLY = "server_only"
    TOKENIZER_ONLY = "tokenizer_only"


class TokenColumns(NamedTuple):
    """The token columns of `Facts`, in their order."""

    isl_tokens: int
    client_isl_tokens: int
    requested_osl_tokens: int
    output_tokens: int
    reasoning_tokens: int
    first_chunk_tokens: int
    client_output_tokens: int
    usage_prompt_tokens: int
    usage_completion_tokens: int
    usage_total_tokens: int
    usage_cached_tokens: int
    usage_reasoning_tokens: int
    token_source: int


# A NamedTuple's own constructor is a Python-level function, and this is called for every record.
_new_columns = tuple.__new__


class TextToCount(NamedTuple):
    """A record whose token columns wait for the tokenizer."""

    row: int
    output: str
    reasoning: str
    first_chunk: str
    server_osl_tokens: int
    """Output and reasoning as the server counted them, without telling them apart; NONE if it counted nothing."""


def token_columns(
    answer: Answer, client_isl_tokens: int, requested_osl_tokens: int, policy: TokenPolicy
) -> TokenColumns:
    """The token columns as far as they are known without counting.

    A server's count of 0 is taken for none: some send a `usage` that they never fill.
    """
    usage = answer.usage or NO_USAGE
    asks_server = policy != TokenPolicy.TOKENIZER_ONLY
    isl = NONE if policy == TokenPolicy.SERVER_ONLY else client_isl_tokens
    if asks_server and usage.prompt_tokens > 0:
        isl = usage.prompt_tokens
    output = reasoning = NONE
    source = TokenSource.NOBODY
    if asks_server and usage.completion_tokens > 0:
        source = TokenSource.SERVER
        reasoning = usage.reasoning_tokens
        if reasoning < 0 and not answer.has_reasoning:
            reasoning = 0
        output = max(usage.completion_tokens - max(reasoning, 0), 0)
    counts = usage[:-1]  # all but the built-in server's account of its writes
    columns = (isl, client_isl_tokens, requested_osl_tokens, output, reasoning, NONE, NONE, *counts, source)
    return _new_columns(TokenColumns, columns)


def text_to_count(row: int, answer: Answer, columns: TokenColumns) -> TextToCount | None:
    """What the tokenizer is still to count for this record; None if nothing, or if its text was not kept."""
    if not (answer.keeps_text and answer.has_content):
        return None
    reasoning = answer.reasoning_text.decode()
    if columns.token_source == TokenSource.SERVER:
        if columns.reasoning_tokens != NONE:
            return None
        return TextToCount(row, "", reasoning, "", columns.output_tokens)
    output = answer.output_text.decode()
    return TextToCount(row, output, reasoning, answer.first_chunk_text, NONE)


def fill_counts(facts: FactsArray, waiting: Iterable[TextToCount], count_tokens: CountTokens) -> None:
    """Writes the tokenizer's counts into the rows that wait for them. Each different text is counted once."""
    counts = {"": 0}
    texts = list({text for record in waiting for text in record[1:4]} - counts.keys())
    counts.update(zip(texts, count_tokens(texts), strict=True))
    for row, output, reasoning, first_chunk, server_osl_tokens in waiting:
        facts_row = facts[row]
        reasoning_tokens = counts[reasoning]
        if server_osl_tokens != NONE:
            # The server's sum stands; the tokenizer only says how much of it was reasoning.
            facts_row["reasoning_tokens"] = min(reasoning_tokens, server_osl_tokens)
            facts_row["output_tokens"] = max(server_osl_tokens - reasoning_tokens, 0)
            continue
        output_tokens = counts[output]
        facts_row["output_tokens"] = output_tokens
        facts_row["reasoning_tokens"] = reasoning_tokens
        facts_row["client_output_tokens"] = output_tokens + reasoning_tokens
        if first_chunk:
            facts_row["first_chunk_tokens"] = counts[first_chunk]
        facts_row["token_source"] = TokenSource.TOKENIZER
