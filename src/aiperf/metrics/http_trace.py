"""Where a request's time went on the wire, in k6's words. One function per metric.

Owns: the HTTP breakdown. Does not own: latencies of tokens (`latency`).
Facts → one float per record, NaN where undefined. Source: Grafana k6, "Built-in metrics", HTTP section. k6 gives no
names for the look-up of DNS and the sum over all parts; those follow AIPerf.
"""

from aiperf.metrics.intervals import FloatArray, between_ms, counted, duration_ms
from aiperf.record.facts import FactsArray

BYTES_PER_KB = 1_000


def http_req_blocked(r: FactsArray) -> FloatArray:
    """Waiting before a connection could be opened or used."""
    return duration_ms(r, "blocked_ns")


def http_req_dns_lookup(r: FactsArray) -> FloatArray:
    """Looking the host name up; 0 on a reused connection."""
    return duration_ms(r, "dns_ns")


def http_req_connecting(r: FactsArray) -> FloatArray:
    """TCP connect, without TLS; 0 on a reused connection."""
    return duration_ms(r, "connect_ns")


def http_req_tls_handshaking(r: FactsArray) -> FloatArray:
    """TLS handshake; 0 on a reused connection and on plaintext."""
    return duration_ms(r, "tls_ns")


def http_req_sending(r: FactsArray) -> FloatArray:
    """From the first byte of the request handed over to the last byte accepted."""
    return between_ms(r, "sent_ns", "send_done_ns")


def http_req_waiting(r: FactsArray) -> FloatArray:
    """From the request's last byte to the response's first (TTFB)."""
    return between_ms(r, "send_done_ns", "first_byte_ns")


def http_req_receiving(r: FactsArray) -> FloatArray:
    """From the response's first byte to its last."""
    return between_ms(r, "first_byte_ns", "end_ns")


def http_req_duration(r: FactsArray) -> FloatArray:
    """Sending, waiting and receiving; connection set-up is not in it."""
    return between_ms(r, "sent_ns", "end_ns")


def http_req_total(r: FactsArray) -> FloatArray:
    """Every part: blocked, DNS, connecting, TLS, and the duration."""
    set_up = duration_ms(r, "blocked_ns") + duration_ms(r, "dns_ns") + duration_ms(r, "connect_ns")
    return set_up + duration_ms(r, "tls_ns") + http_req_duration(r)


def http_req_connection_reused(r: FactsArray) -> FloatArray:
    """1 on a connection that had carried a request before, else 0."""
    return counted(r, "connection_reused")


def http_req_data_sent(r: FactsArray) -> FloatArray:
    """Bytes of the request on the wire. Units: KB (1,000 bytes)."""
    return counted(r, "sent_bytes") / BYTES_PER_KB


def http_req_data_received(r: FactsArray) -> FloatArray:
    """Bytes of the response on the wire. Units: KB (1,000 bytes)."""
    return counted(r, "received_bytes") / BYTES_PER_KB
