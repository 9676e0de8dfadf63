"""Reads PromQL queries: the metrics, their labels, and the values that the labels are compared with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

TARGET = {"namespace", "job", "pod", "instance"}
"""Labels that Prometheus adds to every series that it scrapes."""

_METRIC = re.compile(r"\b((?:enforcer|process)_\w+|up\b)\s*(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPED = re.compile(r"\b(?:by|on|without)\s*\(([^)]*)\)")


class Selector(NamedTuple):
    """A metric in a query: its name, and the values that each label is compared with."""

    name: str
    labels: dict[str, list[str]]


def metrics(query: str) -> Iterator[Selector]:
    """Yield each metric that a query selects."""
    for match in _METRIC.finditer(_GROUPED.sub("", query)):
        matchers = _MATCHER.findall(match[2] or "")
        yield Selector(match[1], {label: value.split("|") for label, _, value in matchers})


def grouped(query: str) -> set[str]:
    """Return the labels that a query groups or joins by."""
    return {label.strip() for match in _GROUPED.finditer(query) for label in match[1].split(",")}
