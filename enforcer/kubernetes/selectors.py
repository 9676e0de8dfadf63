"""Label selectors, as in objects and on kubectl's command line."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from enforcer.yamltext.objects import Object, items, section

Labels = Mapping[str, Any]

_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?"
_VALUE: Final = r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)?"
_EQUALITY: Final = re.compile(rf"({_NAME})\s*(==|=|!=)\s*({_VALUE})")
_SET: Final = re.compile(rf"({_NAME})\s+(in|notin)\s*\(\s*({_VALUE}(?:\s*,\s*{_VALUE})*)\s*\)")
_PRESENCE: Final = re.compile(rf"(!?)\s*({_NAME})")
_COMMA: Final = re.compile(r",(?![^(]*\))")


def selects(selector: Object, labels: Labels, uncertain: Collection[str] = ()) -> bool:
    """Return whether a selector (`matchLabels`, `matchExpressions`) matches labels; an empty one matches everything.

    Labels with the `uncertain` names may be there, too, with any value; the selector must match in either case.
    """
    wanted = section(selector, "matchLabels")
    return selects_all(wanted, labels) and all(
        (name in labels or name not in uncertain) and _holds(expression, labels)
        for expression in items(selector, "matchExpressions")
        for name in [str(expression.get("key"))]
    )


def may_select(selector: Object, labels: Labels, uncertain: Collection[str]) -> bool:
    """Return whether a selector may match labels, if there may be labels with the `uncertain` names, too."""
    names = frozenset(uncertain) - labels.keys()
    wanted = {name: value for name, value in section(selector, "matchLabels").items() if name not in names}
    expressions = [entry for entry in items(selector, "matchExpressions") if str(entry.get("key")) not in names]
    return selects({"matchLabels": wanted, "matchExpressions": expressions}, labels)


def selects_all(wanted: Labels, labels: Labels) -> bool:
    """Return whether the labels include all wanted names with the wanted values."""
    return all(name in labels and labels[name] == value for name, value in wanted.items())


def _holds(expression: Object, labels: Labels) -> bool:
    key, values = str(expression.get("key")), expression.get("values")
    present = key in labels
    included = present and isinstance(values, list) and labels[key] in values
    holds = {"In": included, "NotIn": not included, "Exists": present, "DoesNotExist": not present}
    return holds.get(str(expression.get("operator")), False)


def parse_selector(text: str) -> Object:
    """Parse a selector in kubectl's syntax, such as `app=web,tier!=cache,env in (a, b),!canary`; raises ValueError."""
    return {"matchExpressions": [_expression(part.strip()) for part in _COMMA.split(text)]}


def _expression(part: str) -> Object:
    if match := _EQUALITY.fullmatch(part):
        return {"key": match[1], "operator": "NotIn" if match[2] == "!=" else "In", "values": [match[3]]}
    if match := _SET.fullmatch(part):
        values = [value.strip() for value in match[3].split(",")]
        return {"key": match[1], "operator": "In" if match[2] == "in" else "NotIn", "values": values}
    if match := _PRESENCE.fullmatch(part):
        return {"key": match[2], "operator": "DoesNotExist" if match[1] else "Exists"}
    raise ValueError("expected a selector such as app=web,tier!=cache,env in (a, b),!canary")
