"""Refusals are counted, and rarely logged."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from enforcer.kubernetes.webhook.serving.refusals import LIMIT, Refusals


def test_a_refusal_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The first argument is the same for equal refusals, so that the log counts them."""
    counted: list[tuple[str, str]] = []
    refusals = Refusals("reviews", lambda listener, reason: counted.append((listener, reason)))
    refusals(HTTPStatus.FORBIDDEN, "10.0.0.1")
    refusals(HTTPStatus.FORBIDDEN, "10.0.0.2")
    refusals(LIMIT, "10.0.0.1")
    assert [record.getMessage() for record in caplog.records] == [
        "reviews: refused as unauthenticated from 10.0.0.1",
        "reviews: refused as unauthenticated from 10.0.0.2",
        "reviews: refused as connection_limit from 10.0.0.1",
    ]
    kinds = [(record.name, record.msg, *(record.args or ()))[:3] for record in caplog.records]
    assert kinds[0] == kinds[1] != kinds[2]
    assert counted == [("reviews", "unauthenticated")] * 2 + [("reviews", "connection_limit")]
