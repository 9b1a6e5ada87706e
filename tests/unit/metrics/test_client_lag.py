import math

from aiperf.metrics import client_lag

MS = 1_000_000


def test_dispatch_lag_ends_when_the_request_is_taken_up(make_facts):
    assert client_lag.dispatch_lag(make_facts())[0] == 1


def test_send_lag_includes_setting_the_connection_up(make_facts):
    assert client_lag.send_lag(make_facts())[0] == 10


def test_lags_are_undefined_in_closed_loop(make_facts):
    assert math.isnan(client_lag.dispatch_lag(make_facts(due_ns=-1))[0])
    assert math.isnan(client_lag.send_lag(make_facts(due_ns=-1))[0])


def test_rearm_delay_is_undefined_for_a_slots_first_request(make_facts):
    assert client_lag.rearm_delay(make_facts(rearm_delay_ns=3 * MS))[0] == 3
    assert math.isnan(client_lag.rearm_delay(make_facts())[0])


def test_widths_are_undefined_without_the_chunk(make_facts):
    assert client_lag.first_token_width(make_facts(first_content_width_ns=2 * MS))[0] == 2
    assert math.isnan(client_lag.first_token_width(make_facts(first_content_ns=-1))[0])
    assert client_lag.last_token_width(make_facts(last_content_width_ns=4 * MS))[0] == 4
    assert math.isnan(client_lag.last_token_width(make_facts(last_content_ns=-1))[0])
