"""The count of fields of other contracts."""

from __future__ import annotations

import logging

import pytest
from harness.carriers import CARRIERS, parse

from enforcer.counters import DoorMetrics
from enforcer.decision_api.ignored_fields import IgnoredFields


def test_each_field_is_counted_and_the_log_names_contract_and_listener(caplog: pytest.LogCaptureFixture) -> None:
    """The name is the first argument, by which the log holds repeated lines back."""
    metrics = DoorMetrics()
    ignored = IgnoredFields("request", "127.0.0.1:8092", metrics)
    names = (b"X-Original-URI", b"X_Original-Uri", b"X-Forwarded-Method")
    with caplog.at_level(logging.WARNING, "enforcer.decision_api"):
        ignored.count(parse(CARRIERS["request"](b"GET", b"/a", b"app", [(name, b"/b") for name in names])))
        ignored.count(parse(b"GET /a HTTP/1.1\r\nHost: app\r\n\r\n"))
    assert metrics.ignored == {"x-original-uri": 2, "x-forwarded-method": 1}
    assert [record.args for record in caplog.records] == [
        (field, "request", "127.0.0.1:8092") for field in ("x-original-uri", "x-original-uri", "x-forwarded-method")
    ]
    assert caplog.records[0].getMessage().startswith("x-original-uri is not a field of `contract: request`")


def test_fields_of_a_message_are_compared_with_no_field_of_its_own() -> None:
    """By gRPC the request is described by attributes, and by no field at all."""
    metrics = DoorMetrics()
    ignored = IgnoredFields("envoy-grpc", "127.0.0.1:8092", metrics)
    ignored.count(parse(CARRIERS["request"](b"GET", b"/a", b"app", [(b"X-Forwarded-Uri", b"/b")])))
    assert metrics.ignored == {"x-forwarded-uri": 1}
