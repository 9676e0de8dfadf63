"""Rules of which some keys are wrong, judged by the others, so that all that is wrong with a rule is told together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from enforcer.config.document import Step
from enforcer.errors import FaultsError
from enforcer.policy.rules import CONDITIONS, Rule


class PartialValidation:
    """What can be said of rules in spite of the errors found in them.

    `rules` are those that are right, or wrong only where no other rule cares, by their number; `faults` are mistakes
    that the errors hid: the way to each, and what to do about it.
    """

    def __init__(self, rules: Any, errors: Iterable[ErrorDetails]) -> None:
        self.rules: dict[int, Rule] = {}
        self.faults: list[tuple[tuple[Step, ...], str]] = []
        wrong: defaultdict[int, set[Any]] = defaultdict(set)
        for error in errors:
            place = error["loc"]
            if place[0] == "rules" and len(place) > 1:
                wrong[int(place[1])].add(place[2] if len(place) > 2 else None)
        for at, rule in enumerate(rules if isinstance(rules, list) else ()):
            if at not in wrong:
                self.rules[at] = _adapter().validate_python(rule)
            elif None not in wrong[at]:  # else it is no mapping, or has told all of its faults
                self._mend(at, rule, wrong[at])

    def _mend(self, at: int, written: Mapping[str, Any], wrong: set[str]) -> None:
        try:
            rule = _adapter().validate_python(_without(written, wrong))
        except ValidationError as error:
            self.faults += [(("rules", at, *way), text) for way, text in _faults(error)]
        else:
            if not wrong & _COMPARED and wrong <= _KEYS:
                self.rules[at] = rule


_KEYS: Final = frozenset(Rule.__dataclass_fields__)
_COMPARED: Final = frozenset({"name", "path", "methods", "host", "upstream", "authorization_server"})
"""Keys by which rules are compared with each other, and with the rest of the configuration."""


def _without(rule: Mapping[str, Any], wrong: set[str]) -> dict[str, Any]:
    """Return a rule without what is wrong, and with what stands for that so that nothing is wrong for want of it."""
    left = {key: value for key, value in rule.items() if key not in wrong}
    if "path" in wrong:
        left.pop("claims", None)  # they may speak of its segments
    left = {"name": "nameless", "path": "/", **left}
    may_say_who = wrong - _KEYS or wrong & {*CONDITIONS, "authenticated", "public", "path"}
    if may_say_who and left.get("public") is not True:
        left.setdefault("authenticated", True)
    return left


def _faults(error: ValidationError) -> Iterator[tuple[tuple[Step, ...], str]]:
    for one in error.errors(include_url=False):
        mistake = one.get("ctx", {}).get("error")
        if isinstance(mistake, FaultsError):
            yield from mistake.faults.items()


@cache
def _adapter() -> TypeAdapter[Rule]:
    return TypeAdapter(Rule)
