"""What a query asks of Prometheus: metrics, and labels with the values that they are compared with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

TARGET = {"namespace", "job", "pod", "instance"}
"""Labels that Prometheus itself gives to what it reads."""

_METRIC = re.compile(r"\b((?:enforcer|process)_\w+|up\b)\s*(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPED = re.compile(r"\b(?:by|on|without)\s*\(([^)]*)\)")


class Asked(NamedTuple):
    """One metric in a query: its name, and the labels it is narrowed by, each with the texts it is compared with."""

    name: str
    labels: dict[str, list[str]]


def metrics(query: str) -> Iterator[Asked]:
    """Give each metric that a query reads."""
    for found in _METRIC.finditer(_GROUPED.sub("", query)):
        matchers = _MATCHER.findall(found[2] or "")
        yield Asked(found[1], {label: value.split("|") for label, _, value in matchers})


def grouped(query: str) -> set[str]:
    """Return the labels that a query groups or joins by."""
    return {label.strip() for found in _GROUPED.finditer(query) for label in found[1].split(",")}
