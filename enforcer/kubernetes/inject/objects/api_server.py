"""The Services that the API server itself calls: admission webhooks, conversion webhooks, and APIServices.

The API server has no access token of an authorization server, so the enforcer would refuse each of its calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from enforcer.yamltext.objects import Object, items, section

_WEBHOOKS: Final = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
_DEFAULT_PORT: Final = 443


class Call(NamedTuple):
    """A Service, by name and namespace, and the port of it that the API server connects to."""

    name: str
    namespace: str | None
    port: int


def calls(objects: Sequence[Object]) -> frozenset[Call]:
    """Return the Services that the API server calls, as the configurations among the objects say."""
    references = (reference for obj in objects for reference in _references(obj))
    return frozenset(
        Call(name, namespace if isinstance(namespace, str) else None, port if isinstance(port, int) else _DEFAULT_PORT)
        for reference in references
        if isinstance(name := reference.get("name"), str)
        for namespace, port in [(reference.get("namespace"), reference.get("port"))]
    )


def _references(obj: Object) -> Iterator[Object]:
    match obj.get("kind"):
        case str(kind) if kind in _WEBHOOKS:
            yield from (section(webhook, "clientConfig", "service") for webhook in items(obj, "webhooks"))
        case "CustomResourceDefinition":
            yield section(obj, "spec", "conversion", "webhook", "clientConfig", "service")
        case "APIService":
            yield section(obj, "spec", "service")
