"""CPU cost of reading responses: synthetic slices through `RecordAssembler`.

    python benchmarks/record_assembly.py

Taken on 2 shared virtual cores (Python 3.11, chunks of 203 bytes, one event a read), in CPU time, on 25 November 2026
with others on the same cores; in parentheses the source of the day before, in the same minutes:
SSE parser: 1,600,000 events a second.
Streams of 1,000 chunks: 1.3 µs a read (1.7), from the slice to the finished record.
One-chunk requests: 9 µs a request (15): head, three events in one read, end, `take`.
An open stream holds 1 KB when it begins and 15.5 KB after 1,000 chunks (203 KB of bytes): 8 bytes a gap, and its text.
"""

import time
from collections.abc import Iterator

from aiperf.endpoint.dialects import DIALECTS
from aiperf.endpoint.exchange import BodyKind, Exchange
from aiperf.endpoint.sse import SseParser
from aiperf.record.assembly import RecordAssembler
from aiperf.record.slices import Slice, SliceWriter, read_slice

CHUNK = (
    b'data: {"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk","created":1700000,"model":"org/model",'
    b'"choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}]}\n\n'
)
LAST = CHUNK.replace(b'"finish_reason":null', b'"finish_reason":"stop"') + (
    b'data: {"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk","created":1700000,"model":"org/model",'
    b'"choices":[],"usage":{"prompt_tokens":550,"total_tokens":551,"completion_tokens":1}}\n\n'
    b"data: [DONE]\n\n"
)


def exchange(handle: int) -> Exchange:
    row = Exchange(
        handle, credit_index=handle, turn_index=0, phase=1, entry_index=handle % 100, url_index=0, due_ns=-1,
        dispatched_ns=0, rearm_delay_ns=0, head=b"", body=b"",
    )  # fmt: skip
    row.http_status, row.body_kind, row.end_ns = 200, BodyKind.EVENT_STREAM, 5_000_000
    return row


def stream_slices(streams: int, chunks: int, *, repeats: bool) -> Iterator[Slice]:
    """All streams side by side; a slice for every chunk of all of them. `repeats`: every stream says the same."""
    writer = SliceWriter(0)
    rows = [exchange(handle) for handle in range(streams)]
    for row in rows:
        writer.on_head(row)
    for chunk in range(chunks):
        stamp_ns = chunk * 20_000_000
        for row in rows:
            data = CHUNK if chunk < chunks - 1 else LAST
            if not repeats:
                data = data.replace(b"1700000", b"%d" % row.handle)
            writer.on_read(row, stamp_ns, stamp_ns - 1_000_000, data)
            if chunk == chunks - 1:
                writer.on_end(row)
        yield read_slice(writer.take(stamp_ns) or [])


def assembler() -> RecordAssembler:
    return RecordAssembler(
        dialect=DIALECTS["chat"],
        streaming=True,
        entry_tokens=lambda _entry: (550, 100),
        count_tokens=lambda texts: [len(text) // 6 for text in texts],
    )


def cpu_us(streams: int, chunks: int, rounds: int, *, repeats: bool = True) -> float:
    """CPU time for a read, `take` included."""
    slices = [list(stream_slices(streams, chunks, repeats=repeats)) for _ in range(rounds)]
    records = [assembler() for _ in slices]
    started = time.process_time()
    for assembly, parts in zip(records, slices, strict=True):
        for part in parts:
            assembly.add(part)
        assembly.take()
    return (time.process_time() - started) / (streams * chunks * rounds) * 1e6


def parser_events_per_s() -> float:
    parser, count = SseParser(), 500_000
    started = time.process_time()
    for _ in range(count):
        parser.feed(CHUNK)
    return count / (time.process_time() - started)


if __name__ == "__main__":
    print(f"SSE parser, one event a read: {parser_events_per_s():,.0f} events per CPU-second")
    print(f"streams of 1,000 chunks: {cpu_us(200, 1000, 1):.2f} µs a read")
    print(f"one-chunk requests: {cpu_us(2000, 1, 20):.2f} µs a request")
    print(f"one-chunk requests of a server that never repeats itself: {cpu_us(40_000, 1, 1, repeats=False):.2f} µs")
