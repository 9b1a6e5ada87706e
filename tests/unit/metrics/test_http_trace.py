import math

import pytest

from aiperf.metrics import http_trace


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        (http_trace.http_req_blocked, 2),
        (http_trace.http_req_dns_lookup, 3),
        (http_trace.http_req_connecting, 4),
        (http_trace.http_req_tls_handshaking, 5),
        (http_trace.http_req_sending, 1),
        (http_trace.http_req_waiting, 89),
        (http_trace.http_req_receiving, 520),
        (http_trace.http_req_duration, 610),
        (http_trace.http_req_total, 624),
        (http_trace.http_req_connection_reused, 0),
        (http_trace.http_req_data_sent, 2),
        (http_trace.http_req_data_received, 50),
    ],
)
def test_each_part_of_an_ordinary_exchange(make_facts, metric, value):
    assert metric(make_facts())[0] == pytest.approx(value)


def test_the_parts_add_up_to_the_duration(make_facts):
    r = make_facts()
    parts = http_trace.http_req_sending(r) + http_trace.http_req_waiting(r) + http_trace.http_req_receiving(r)
    assert parts[0] == pytest.approx(http_trace.http_req_duration(r)[0])


def test_waiting_is_undefined_without_a_first_byte(make_facts):
    assert math.isnan(http_trace.http_req_waiting(make_facts(first_byte_ns=-1))[0])
