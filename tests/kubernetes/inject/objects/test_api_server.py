"""The Services that the API server calls."""

from __future__ import annotations

from typing import Any

import pytest

from enforcer.kubernetes.inject.objects.api_server import Call, calls

SERVICE = {"name": "hook", "namespace": "web"}


@pytest.mark.parametrize(
    "configuration",
    [
        {"kind": "ValidatingWebhookConfiguration", "webhooks": [{"clientConfig": {"service": SERVICE}}]},
        {"kind": "MutatingWebhookConfiguration", "webhooks": [{}, {"clientConfig": {"service": SERVICE}}]},
        {
            "kind": "CustomResourceDefinition",
            "spec": {"conversion": {"webhook": {"clientConfig": {"service": SERVICE}}}},
        },
        {"kind": "APIService", "spec": {"service": SERVICE}},
    ],
)
def test_webhooks_and_extensions_of_the_api_are_found(configuration: Any) -> None:
    """Their port is 443, if they name none."""
    assert calls([configuration]) == {Call("hook", "web", 443)}


def test_a_port_may_be_named_and_a_url_has_no_service() -> None:
    """Other objects refer to no Service."""
    assert calls([{"kind": "APIService", "spec": {"service": {"name": "a", "port": 8443}}}]) == {Call("a", None, 8443)}
    by_url = {"kind": "MutatingWebhookConfiguration", "webhooks": [{"clientConfig": {"url": "https://a"}}]}
    assert calls([by_url, {"kind": "Service", "spec": {"service": SERVICE}}, {}]) == set()
