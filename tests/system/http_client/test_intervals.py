"""Within which interval each byte is known to have arrived: as narrow as can be proven, and always around the truth."""

import random
import statistics
import time

import pytest
import uvloop
from tests.system.http_client.line import CHUNK, END, HEAD, SETTLING_NS

from aiperf.units import NS_PER_MS


def test_look_that_finds_nothing_raises_the_lower_bound(line):
    line.send(HEAD + CHUNK)
    line.look()
    time.sleep(0.05)
    looked_ns = line.look()
    line.send()
    line.send()
    line.look()
    (_, _, first), (stamp_ns, after_ns, both) = line.reads
    assert (first, both) == (b"ok", b"okok")
    assert looked_ns - NS_PER_MS < after_ns < line.sends[1][1]
    assert stamp_ns >= line.sends[2][0] - NS_PER_MS


def test_look_that_finds_other_sockets_raises_the_lower_bound(line):
    line.send(HEAD + CHUNK)
    line.look()
    time.sleep(0.05)
    other = line.at.submit()
    line.at.run_until(lambda: other.send_done_ns >= 0)
    looked_ns = line.look()
    line.send()
    line.send()
    line.look()
    assert line.reads[1][1] > looked_ns - NS_PER_MS


def test_busy_client_sees_the_wide_interval_and_the_truth_within(line):
    line.send(HEAD)
    line.look()
    looked_ns = line.look()
    line.send()
    time.sleep(0.05)  # the client is busy elsewhere
    line.send()
    line.look()
    ((stamp_ns, after_ns, both),) = line.reads
    assert both == b"okok"
    (before_ns, sent_ns), (last_before_ns, _) = line.sends[1:]
    assert looked_ns - NS_PER_MS < after_ns <= sent_ns
    assert stamp_ns >= last_before_ns - NS_PER_MS
    assert stamp_ns - after_ns >= 45 * NS_PER_MS
    assert after_ns < before_ns + NS_PER_MS


def test_full_batch_is_no_witness(line):
    line.at.client._ready_max = 0
    line.send(HEAD + CHUNK)
    line.look()
    read_ns = line.at.clock.now_ns()
    time.sleep(0.05)
    line.look()
    line.send()
    line.look()
    assert line.reads[1][1] <= read_ns


def test_bytes_left_behind_make_no_batch_a_witness(line, monkeypatch):
    monkeypatch.setattr("aiperf.endpoint.client.READ_BYTES", 100)
    bound_ns = line.look()
    line.send(HEAD + b"fff\r\n" + b"x" * 300)
    time.sleep(0.02)
    for _ in range(3):
        line.look()
    assert len(line.reads) == 3
    assert max(after_ns for _, after_ns, _ in line.reads) <= bound_ns + NS_PER_MS


def test_look_from_before_the_request_is_no_witness(line):
    line.send(HEAD + CHUNK + END)
    line.at.finish()
    line.look()
    exchange = line.at.submit()
    line.peer.recv(65536)
    line.send(HEAD + CHUNK + END)
    line.look()
    assert exchange.connection_reused
    ((_, after_ns, _),) = line.at.sink.reads[exchange.handle]
    assert after_ns == exchange.sent_ns


@pytest.mark.parametrize("seed", range(5))
def test_every_chunk_arrived_within_the_interval_of_its_read(line, seed):
    chance = random.Random(seed)
    line.send(HEAD)
    for _ in range(40):
        for _ in range(chance.randrange(3)):
            line.send()
        for _ in range(chance.randrange(3)):
            line.look()
            time.sleep(chance.random() * 0.003)
    line.send(END)
    line.at.finish()
    arrivals = line.sends[1:-1]
    for stamp_ns, after_ns, data in line.reads:
        for _ in range(len(data) // 2):
            before_ns, sent_ns = arrivals.pop(0)
            assert after_ns <= sent_ns + SETTLING_NS
            assert stamp_ns >= before_ns - SETTLING_NS
    assert not arrivals


def test_attentive_client_tells_chunks_apart_that_share_a_read(serve, bench):
    """The case of every stream's end: after a token's time, several events at once. The client sleeps until then."""
    gap_s, rounds = 0.05, 12

    def script(peer):
        peer.request()
        peer.send(HEAD)
        for _ in range(rounds):
            time.sleep(gap_s)
            for _ in range(3):
                peer.send(CHUNK)
        peer.send(END)

    at = bench(serve(script).url)
    loop = uvloop.new_event_loop()
    at.client.attach(loop)
    at.sink.then = lambda exchange: loop.stop()
    exchange = at.submit()
    loop.run_forever()
    loop.close()
    reads = at.sink.reads[exchange.handle]
    assert b"".join(data for _, _, data in reads) == b"okokok" * rounds
    assert statistics.median(stamp_ns - after_ns for stamp_ns, after_ns, _ in reads) < gap_s * 1e9 / 2
