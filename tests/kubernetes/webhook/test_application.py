"""The webhook's applications, called directly; tests of the server have the reviews."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import pytest

from enforcer.kubernetes.webhook.application import Operations
from enforcer.kubernetes.webhook.metrics import Metrics
from enforcer.kubernetes.webhook.serving.connection import Head, Response


def get(operations: Operations, path: str) -> Response:
    """Return the response to a GET."""
    return asyncio.run(operations.respond(Head("GET", path, "192.0.2.1"), bytearray()))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/livez", HTTPStatus.OK),
        ("/readyz", HTTPStatus.SERVICE_UNAVAILABLE),
        ("/metrics", HTTPStatus.OK),
        ("/other", HTTPStatus.NOT_FOUND),
    ],
)
def test_health_and_metrics_are_responses_to_get(path: str, status: HTTPStatus) -> None:
    """The webhook is ready only once it has a certificate."""
    metrics = Metrics("1.2.3")
    operations = Operations(metrics, lambda: 0.0)
    assert get(operations, path).status is status
    metrics.ready = True
    assert get(operations, "/readyz").status is HTTPStatus.OK


def test_other_methods_are_refused() -> None:
    """Before their body is read."""
    operations = Operations(Metrics("1.2.3"), lambda: 0.0)
    refusal = operations.refusal(Head("POST", "/metrics", "192.0.2.1"))
    assert refusal is not None
    assert refusal.status is HTTPStatus.METHOD_NOT_ALLOWED
    assert operations.refusal(Head("GET", "/metrics", "192.0.2.1")) is None


def test_metrics_are_served_again_for_a_moment() -> None:
    """Frequent scrapes cost nothing."""
    now = [0.0]
    metrics = Metrics("1.2.3")
    operations = Operations(metrics, lambda: now[0])
    first = get(operations, "/metrics").body
    metrics.ready = True
    assert get(operations, "/metrics").body is first
    now[0] = 1.0
    assert get(operations, "/metrics").body != first
