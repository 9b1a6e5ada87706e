"""From the Plan to the store: the dataset of a run, made once.

Owns: which entries there are, their model, their requested length, their bodies by way of the dialect. Does not own:
the parts it puts together (`input_file`, `synthetic`, `lengths`, `tokens`, `store`), the service around it.

Entries stream through: memory is bounded by a batch, whatever the dataset's size.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path

from aiperf.dataset.input_file import Entry, read_input_file
from aiperf.dataset.lengths import drawn_length
from aiperf.dataset.store import NONE_TOKENS, Conversation, StoreInfo, Turn, compile_store
from aiperf.dataset.synthetic import PromptWriter
from aiperf.dataset.tokens import Tokenizer, load_tokenizer
from aiperf.endpoint.dialect import Dialect, RequestContent, RequestOptions
from aiperf.plan.plan import Plan

_BATCH_CHARACTERS = 1 << 20
"""Texts of a file are counted together up to about this size."""

Warn = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class CompiledDataset:
    """The store that was written, and who counted its tokens."""

    info: StoreInfo
    tokenizer_name: str
    tokenizer_source: str
    """`tokens.open_tokenizer` takes it, in any process of this machine."""
    warnings: tuple[str, ...]


def compile_dataset(plan: Plan, seed: int, dialect: Dialect, path: Path, warn: Warn) -> CompiledDataset:
    """Writes the store of the run's dataset to `path`. The same plan and seed give the same store.

    Raises: PlanError if input file or tokenizer are at fault; InfrastructureError if the store cannot be written.
    """
    warnings: list[str] = []

    def note(text: str) -> None:
        warnings.append(text)
        warn(text)

    tokenizer = load_tokenizer(plan, note)
    if plan.input.input_file is None:
        turns = _synthetic_turns(plan, seed, dialect, tokenizer, note)
    else:
        turns = _file_turns(plan, seed, dialect, tokenizer, note)
    conversations = (
        Conversation(f"session_{position:06d}" if session_id is None else session_id, (turn,))
        for position, (session_id, turn) in enumerate(turns)
    )
    info = compile_store(path, conversations)
    return CompiledDataset(info, tokenizer.name, tokenizer.source, tuple(warnings))


def _synthetic_turns(
    plan: Plan, seed: int, dialect: Dialect, tokenizer: Tokenizer, note: Warn
) -> Iterator[tuple[str | None, Turn]]:
    mean, stddev = plan.input.isl_mean_tokens, plan.input.isl_stddev_tokens
    assert isinstance(mean, int), "sweeps are resolved before a dataset is compiled"
    lengths = [
        drawn_length(mean, stddev, seed=seed, purpose="isl", entry_index=index)
        for index in range(plan.input.entries_count)
    ]
    misses = []
    prompts = PromptWriter(tokenizer).prompts(lengths, seed=seed)
    for index, (prompt, length, options) in enumerate(zip(prompts, lengths, _options(plan), strict=False)):
        if prompt.tokens != length:
            misses.append(abs(prompt.tokens - length))
        content = RequestContent(text=prompt.text, max_tokens=_drawn_osl(plan, seed, index))
        yield None, Turn(dialect.request_body(content, options), prompt.tokens, _requested_osl(content, options))
    if misses:
        note(
            f"{len(misses)} of {len(lengths)} prompts are up to {max(misses)} tokens off the length asked for: the "
            f"tokenizer {tokenizer.name} has no such text at hand. Results count the tokens that were sent."
        )


def _file_turns(
    plan: Plan, seed: int, dialect: Dialect, tokenizer: Tokenizer, note: Warn
) -> Iterator[tuple[str | None, Turn]]:
    assert plan.input.input_file is not None
    ready_count = misfit_count = 0
    counted = _counted(read_input_file(Path(plan.input.input_file)), dialect, tokenizer)
    for index, ((entry, isl_tokens), options) in enumerate(zip(counted, _options(plan), strict=False)):
        content = entry.content
        if entry.body is not None:
            ready_count += 1
            misfit_count += entry.streaming != plan.endpoint.streaming
            asked = content.max_tokens if content is not None else None
            yield entry.session_id, Turn(entry.body, isl_tokens, NONE_TOKENS if asked is None else asked)
            continue
        assert content is not None
        if content.max_tokens is None:
            content = replace(content, max_tokens=_drawn_osl(plan, seed, index))
        turn = Turn(dialect.request_body(content, options), isl_tokens, _requested_osl(content, options))
        yield entry.session_id, turn
    _note_ready_bodies(plan, ready_count, misfit_count, note)


def _note_ready_bodies(plan: Plan, ready_count: int, misfit_count: int, note: Warn) -> None:
    source = plan.input.input_file
    if misfit_count:
        does = "do not ask" if plan.endpoint.streaming else "ask"
        given = "given" if plan.endpoint.streaming else "not given"
        note(f"{misfit_count} of {ready_count} payloads of {source} {does} for a stream, and --streaming is {given}.")
    if ready_count and (plan.input.osl_mean_tokens is not None or plan.endpoint.extra_inputs):
        note(f"Payloads of {source} are sent as they are: --osl and --extra-inputs have no effect on them.")


def _counted(entries: Iterable[Entry], dialect: Dialect, tokenizer: Tokenizer) -> Iterator[tuple[Entry, int]]:
    """Each entry with the tokens of its prompt; NONE_TOKENS where the prompt is not known."""
    batch: list[Entry] = []
    texts: list[str] = []
    characters = 0
    for entry in entries:
        text = "" if entry.content is None else dialect.prompt_text(entry.content)
        batch.append(entry)
        texts.append(text)
        characters += len(text)
        if characters >= _BATCH_CHARACTERS:
            yield from _with_counts(batch, texts, tokenizer)
            batch, texts, characters = [], [], 0
    yield from _with_counts(batch, texts, tokenizer)


def _with_counts(batch: list[Entry], texts: list[str], tokenizer: Tokenizer) -> Iterator[tuple[Entry, int]]:
    for entry, tokens in zip(batch, tokenizer.count(texts), strict=True):
        yield entry, NONE_TOKENS if entry.content is None else tokens


def _options(plan: Plan) -> Iterator[RequestOptions]:
    """What the requests of entry 0, 1, … share with others: they take the models in turn."""
    endpoint = plan.endpoint
    return cycle(
        [
            RequestOptions(
                model=model,
                streaming=endpoint.streaming,
                use_legacy_max_tokens=endpoint.use_legacy_max_tokens,
                extra=endpoint.extra_inputs,
            )
            for model in endpoint.models
        ]
    )


def _drawn_osl(plan: Plan, seed: int, entry_index: int) -> int | None:
    mean, stddev = plan.input.osl_mean_tokens, plan.input.osl_stddev_tokens
    if mean is None:
        return None
    assert isinstance(mean, int), "sweeps are resolved before a dataset is compiled"
    return drawn_length(mean, stddev, seed=seed, purpose="osl", entry_index=entry_index)


def _requested_osl(content: RequestContent, options: RequestOptions) -> int:
    """The output tokens a body asks for: those of the extra inputs, which are written over ours, or the content's."""
    for value in (*(options.extra.get(name) for name in ("max_completion_tokens", "max_tokens")), content.max_tokens):
        if isinstance(value, int):
            return value
    return NONE_TOKENS
