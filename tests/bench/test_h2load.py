"""The load of the decision API over gRPC: its message, and the output that is read."""

from __future__ import annotations

import pytest
from harness import envoy

from bench.h2load import check_request, data_bytes, decisions, read
from bench.processes import BenchError
from bench.servers import TARGET

METRICS = """\
# TYPE enforcer_decision_api_requests_total counter
enforcer_decision_api_requests_total{door="envoy-grpc",result="allow"} 12.0
enforcer_decision_api_requests_total{door="envoy-grpc",result="deny"} 1.0
enforcer_decision_api_requests_total{door="request",result="allow"} 7.0
"""


def test_the_message_describes_the_request_of_the_other_loads() -> None:
    """With the length prefix of gRPC, and with the token."""
    framed = check_request({"Authorization": "Bearer a" * 20})
    assert (framed[0], int.from_bytes(framed[1:5], "big")) == (0, len(framed) - 5)
    (attributes,) = envoy.decode(framed[5:])[1]
    (request,) = envoy.decode(attributes)[4]
    (http,) = envoy.decode(request)[2]
    values = envoy.decode(http)
    assert (values[2], values[4], values[6]) == ([b"GET"], [TARGET.encode()], [b"http"])
    headers = {envoy.decode(entry)[1][0]: envoy.decode(entry)[2][0] for entry in values[3]}
    assert headers == {b"host": b"127.0.0.1", b"authorization": b"Bearer a" * 20}


def test_times_are_read_from_the_log() -> None:
    """Each line has the start, the status and the microseconds of a call."""
    assert read("1\t200\t310\n2\t200\t42\n") == [310.0, 42.0]
    assert read("") == []


def test_a_failed_call_is_an_error() -> None:
    """h2load itself counts it, and goes on."""
    with pytest.raises(BenchError, match="request failed with the status 503"):
        read("1\t200\t310\n2\t503\t42\n")


def test_decisions_are_counted_by_the_enforcer() -> None:
    """Only those over gRPC: h2load does not read messages, and a denial is a call that succeeded."""
    assert decisions(METRICS) == {"allow": 12.0, "deny": 1.0}


def test_data_is_told_from_other_traffic() -> None:
    """A refused call has only headers."""
    output = "requests: 2 total\ntraffic: 1.20KB (1230) total, 310B (310) headers (space savings 60%), 64B (64) data\n"
    assert data_bytes(output) == 64
    with pytest.raises(BenchError, match="no traffic"):
        data_bytes("finished in 1s")
