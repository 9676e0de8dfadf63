"""Which labels a selector selects: those of objects, and those of a command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from enforcer.yamltext.objects import Object, items, section

Labels = Mapping[str, Any]

_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?"
_VALUE: Final = r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)?"
_EQUALITY: Final = re.compile(rf"({_NAME})\s*(==|=|!=)\s*({_VALUE})")
_SET: Final = re.compile(rf"({_NAME})\s+(in|notin)\s*\(\s*({_VALUE}(?:\s*,\s*{_VALUE})*)\s*\)")
_PRESENCE: Final = re.compile(rf"(!?)\s*({_NAME})")
_COMMA: Final = re.compile(r",(?![^(]*\))")


def selects(selector: Object, labels: Labels) -> bool:
    """Tell whether a label selector, with `matchLabels` and `matchExpressions`, selects labels; an empty one does."""
    wanted = section(selector, "matchLabels")
    return selects_all(wanted, labels) and all(_holds(one, labels) for one in items(selector, "matchExpressions"))


def selects_all(wanted: Labels, labels: Labels) -> bool:
    """Tell whether labels have all these values."""
    return all(name in labels and labels[name] == value for name, value in wanted.items())


def _holds(expression: Object, labels: Labels) -> bool:
    key, operator, values = expression.get("key"), expression.get("operator"), expression.get("values") or []
    present = key in labels
    found = labels.get(str(key))
    match operator:
        case "In":
            return present and found in values
        case "NotIn":
            return not present or found not in values
        case "Exists":
            return present
        case "DoesNotExist":
            return not present
    return False


def parse_selector(text: str) -> Object:
    """Read a selector as kubectl does: `app=web,tier!=cache,env in (a, b),!canary`; raises ValueError."""
    return {"matchExpressions": [_expression(part.strip()) for part in _COMMA.split(text)]}


def _expression(part: str) -> Object:
    if found := _EQUALITY.fullmatch(part):
        return {"key": found[1], "operator": "NotIn" if found[2] == "!=" else "In", "values": [found[3]]}
    if found := _SET.fullmatch(part):
        values = [value.strip() for value in found[3].split(",")]
        return {"key": found[1], "operator": "In" if found[2] == "in" else "NotIn", "values": values}
    if found := _PRESENCE.fullmatch(part):
        return {"key": found[2], "operator": "DoesNotExist" if found[1] else "Exists"}
    raise ValueError(f'expected a selector such as app=web,tier!=cache,env in (a, b),!canary; "{part}" is none')
