"""Validates objects against the Kubernetes schemas; unknown fields are errors, as with `kubectl --validate=strict`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from json import loads
from typing import Any

from jsonschema.validators import Draft202012Validator
from referencing import Registry, Resource

VERSIONS = ("1.29", "1.33", "1.37")
"""The oldest supported version, one in between, and the newest with a schema."""

_SCHEMAS = files("kubernetes_validate") / "kubernetes-json-schema"


def violations(thing: Mapping[str, Any], versions: tuple[str, ...] = VERSIONS) -> Iterator[str]:
    """Yield each violation; raises FileNotFoundError if a version does not know the kind."""
    for version in versions:
        for error in _validator(version, thing["apiVersion"], thing["kind"]).iter_errors(thing):
            yield f"{version}: {thing['kind']}.{'.'.join(map(str, error.path))}: {error.message}"


@cache
def _validator(version: str, api_version: str, kind: str) -> Draft202012Validator:
    group, _, number = api_version.rpartition("/")
    name = "-".join(filter(None, (kind.lower(), group.partition(".")[0], number)))
    schema = Resource.from_contents(loads(_text(version, name)))
    registry = schema @ (_definitions(version) @ Registry())
    return Draft202012Validator(schema.contents, registry=registry)


@cache
def _definitions(version: str) -> Resource[Any]:
    return Resource.from_contents(loads(_text(version, "_definitions")))


def _text(version: str, name: str) -> str:
    return (_SCHEMAS / f"v{version}.0-local-strict" / f"{name}.json").read_text("utf-8")
