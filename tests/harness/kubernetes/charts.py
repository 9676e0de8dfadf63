"""Renders the charts as `helm install` does, and reads the objects."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import yaml

from harness.kubernetes import schemas

ROOT = Path(__file__).parents[3] / "helm"
ENFORCER = ROOT / "enforcer"
CI = {path.name.removesuffix("-values.yaml"): path for path in sorted((ENFORCER / "ci").glob("*-values.yaml"))}
"""The example values of the chart, by name; all of them are rendered and checked."""

CUSTOM = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "HTTPRoute", "Certificate"}
"""Kinds that are not part of Kubernetes, for which no schema is available."""

SINCE = dict.fromkeys(("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"), (1, 30))
"""Kinds that not every supported version has, with the first that does; older API servers reject them."""

Object = dict[str, Any]
Values = Mapping[str, Any]


@cache
def load(path: Path = ENFORCER) -> helm_python.Chart:
    """Load a chart; cached."""
    return helm_python.Chart.load(path)


def values(name: str) -> dict[str, Any]:
    """Return the values of a file in ci/."""
    content: dict[str, Any] = yaml.safe_load(CI[name].read_text("utf-8"))
    return content


def texts(values: Values, chart: Path = ENFORCER, name: str = "enforcer", namespace: str = "apps") -> Mapping[str, str]:
    """Render a chart: texts by template path. Raises HelmError; does not check the schema, which `refusal` does."""
    return _texts(chart, json.dumps(values), name, namespace)


@cache
def _texts(chart: Path, values: str, name: str, namespace: str) -> Mapping[str, str]:
    rendered = load(chart).render(json.loads(values), name=name, namespace=namespace)
    return {path.partition("/templates/")[2]: text for path, text in rendered.items()}


def objects(values: Values, chart: Path = ENFORCER, name: str = "enforcer", namespace: str = "apps") -> list[Object]:
    """Render a chart, and return its objects, without the notes."""
    rendered = texts(values, chart, name, namespace)
    return [
        thing
        for path, text in rendered.items()
        if not path.endswith("NOTES.txt")
        for thing in json.loads(_as_json(text))
    ]


@cache
def _as_json(text: str) -> str:
    """Return the objects of a YAML stream as a JSON array, which is read in a fraction of the time."""
    return json.dumps([*read(text)])


def read(text: str) -> Iterator[Object]:
    """Yield the objects of a YAML stream; empty documents are skipped."""
    return filter(None, yaml.load_all(text, yaml.CSafeLoader))


def violations(things: list[Object], versions: tuple[str, ...] = schemas.VERSIONS) -> list[str]:
    """Return all violations of the strict Kubernetes schemas; kinds in `CUSTOM` are skipped."""
    own = [thing for thing in things if thing["kind"] not in CUSTOM]
    return [violation for thing in own for violation in _violations(json.dumps(thing), _known(thing, versions))]


def _known(thing: Object, versions: tuple[str, ...]) -> tuple[str, ...]:
    since = SINCE.get(thing["kind"], (1, 0))
    return tuple(version for version in versions if tuple(map(int, version.split("."))) >= since)


@cache
def _violations(thing: str, versions: tuple[str, ...]) -> list[str]:
    return list(schemas.violations(json.loads(thing), versions))


def refusal(values: Values, chart: Path = ENFORCER) -> str:
    """Return the error with which the chart's schema or its templates refuse values; empty if they accept them."""
    try:
        load(chart).validate_schema(dict(values))
        texts(values, chart)
    except helm_python.HelmError as error:
        return str(error)
    return ""


def only(things: list[Object], kind: str, name: str | None = None) -> Object:
    """Return the only object of a kind, or of a kind and name."""
    (match,) = [thing for thing in things if thing["kind"] == kind and name in (None, thing["metadata"]["name"])]
    return match


def merged(base: Values, change: Values) -> dict[str, Any]:
    """Return values overridden by others, as Helm merges several `-f` files."""
    both = dict(base)
    for key, value in change.items():
        base_value = both.get(key)
        both[key] = (
            merged(base_value, value) if isinstance(base_value, Mapping) and isinstance(value, Mapping) else value
        )
    return both


def under(path: str, value: Any) -> dict[str, Any]:
    """Return values with `value` at a dotted path."""
    *parents, last = path.split(".")
    values = {last: value}
    for key in reversed(parents):
        values = {key: values}
    return values
