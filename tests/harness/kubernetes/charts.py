"""Renders the charts, as `helm install` would, and reads what comes out."""

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
"""Values that people may start from, by name; all of them are rendered and checked."""

CUSTOM = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "HTTPRoute", "Certificate"}
"""Kinds that are not Kubernetes' own, of which there is no schema here."""

SINCE = dict.fromkeys(("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"), (1, 30))
"""Kinds that not every version has; who installs them on an older one is told so by its API server."""

Object = dict[str, Any]
Values = Mapping[str, Any]


@cache
def load(path: Path = ENFORCER) -> helm_python.Chart:
    """Load a chart, once."""
    return helm_python.Chart.load(path)


def values(name: str) -> dict[str, Any]:
    """Read the values of a file in ci/."""
    return yaml.safe_load(CI[name].read_text("utf-8"))


def texts(values: Values, chart: Path = ENFORCER, name: str = "enforcer", namespace: str = "apps") -> Mapping[str, str]:
    """Render a chart: its files by their path in it; raises HelmError. Nobody asks the schema here: see `refusal`."""
    return _texts(chart, json.dumps(values), name, namespace)


@cache
def _texts(chart: Path, values: str, name: str, namespace: str) -> Mapping[str, str]:
    rendered = load(chart).render(json.loads(values), name=name, namespace=namespace)
    return {path.partition("/templates/")[2]: text for path, text in rendered.items()}


def objects(values: Values, chart: Path = ENFORCER, name: str = "enforcer", namespace: str = "apps") -> list[Object]:
    """Render a chart, and read its objects; the notes for people are none."""
    rendered = texts(values, chart, name, namespace)
    return [thing for path, text in rendered.items() if not path.endswith("NOTES.txt") for thing in read(text)]


def read(text: str) -> Iterator[Object]:
    """Read objects from YAML; empty documents are none."""
    return filter(None, yaml.load_all(text, yaml.CSafeLoader))


def violations(things: list[Object], versions: tuple[str, ...] = schemas.VERSIONS) -> list[str]:
    """Tell of all that is wrong with objects, to the letter. What is not Kubernetes' own is passed over."""
    own = [thing for thing in things if thing["kind"] not in CUSTOM]
    return [violation for thing in own for violation in _violations(json.dumps(thing), _known(thing, versions))]


def _known(thing: Object, versions: tuple[str, ...]) -> tuple[str, ...]:
    since = SINCE.get(thing["kind"], (1, 0))
    return tuple(version for version in versions if tuple(map(int, version.split("."))) >= since)


@cache
def _violations(thing: str, versions: tuple[str, ...]) -> list[str]:
    return list(schemas.violations(json.loads(thing), versions))


def refusal(values: Values, chart: Path = ENFORCER) -> str:
    """Return what the chart's schema, or else its templates, say against values; nothing where they take them."""
    try:
        load(chart).validate_schema(values)
        texts(values, chart)
    except helm_python.HelmError as error:
        return str(error)
    return ""


def only(things: list[Object], kind: str, name: str | None = None) -> Object:
    """Return the one object of a kind, and of a name where there are more."""
    (found,) = [thing for thing in things if thing["kind"] == kind and name in (None, thing["metadata"]["name"])]
    return found


def merged(base: Values, change: Values) -> dict[str, Any]:
    """Return values with others over them, as several `-f` are."""
    both = dict(base)
    for key, value in change.items():
        before = both.get(key)
        both[key] = merged(before, value) if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return both


def under(path: str, value: Any) -> dict[str, Any]:
    """Return values in which one stands at a dotted path."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return value
