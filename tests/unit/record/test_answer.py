"""The answer of one response: what is kept of it."""

from aiperf.endpoint.dialect import Delta
from aiperf.record.answer import TEXT_LIMIT_BYTES, Answer


def test_the_text_of_an_answer_that_never_ends_is_not_kept():
    answer = Answer(keeps_text=True, keeps_chunks=False)
    piece = Delta(text="x" * (1 << 20))
    for stamp in range(TEXT_LIMIT_BYTES >> 20):
        answer.add_chunk(piece, stamp, 0, shares_read=False)
    assert len(answer.output_text) == TEXT_LIMIT_BYTES
    answer.add_chunk(piece, 99, 0, shares_read=False)
    assert not answer.keeps_text
    assert len(answer.output_text) == 0
    assert answer.content_chunk_count == (TEXT_LIMIT_BYTES >> 20) + 1
