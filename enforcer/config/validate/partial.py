"""Validates the remaining keys of a rule that has invalid ones, so that one run reports every error."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from enforcer.config.documents.document import Step
from enforcer.errors import SettingsError
from enforcer.policy.rules import CONDITIONS, Rule


class PartialValidation:
    """The result of validating rules without their invalid keys.

    `rules`, by index, are the valid ones and those invalid only in keys that no other rule is compared by. `faults` are
    errors that the invalid keys hid, each with its path and a message.
    """

    def __init__(self, rules: Any, errors: Iterable[ErrorDetails]) -> None:
        self.rules: dict[int, Rule] = {}
        self.faults: list[tuple[tuple[Step, ...], str]] = []
        invalid: defaultdict[int, set[Any]] = defaultdict(set)
        for error in errors:
            path = error["loc"]
            if path[0] == "rules" and len(path) > 1:
                invalid[int(path[1])].add(path[2] if len(path) > 2 else None)
        for index, rule in enumerate(rules if isinstance(rules, list) else ()):
            if index not in invalid:
                self.rules[index] = _ADAPTER.validate_python(rule)
            elif None not in invalid[index]:  # otherwise it is not a mapping, or all its errors are reported already
                self._validate(index, rule, invalid[index])

    def _validate(self, index: int, written: Mapping[str, Any], invalid: set[str]) -> None:
        try:
            rule = _ADAPTER.validate_python(_without(written, invalid))
        except ValidationError as error:
            self.faults += [(("rules", index, *path), message) for path, message in _faults(error)]
        else:
            if not invalid & _COMPARED and invalid <= _KEYS:
                self.rules[index] = rule


_ADAPTER: Final = TypeAdapter(Rule)
_KEYS: Final = frozenset(Rule.__dataclass_fields__)
_COMPARED: Final = frozenset({"name", "path", "paths", "methods", "host", "upstream", "authorization_server"})
"""Keys by which rules are compared with each other, and with the rest of the configuration."""


_WITH_TEXTS: Final = frozenset({"scopes", "any_scope", "claims", "query", "headers", "any_of"})
"""Keys whose texts may refer to the path or the host."""


def _without(rule: Mapping[str, Any], invalid: set[str]) -> dict[str, Any]:
    """Return a rule without its invalid keys, and with replacements, so that their absence causes no further error."""
    remaining = {key: value for key, value in rule.items() if key not in invalid}
    if invalid & {"path", "paths", "host"}:
        remaining = {key: value for key, value in remaining.items() if key not in _WITH_TEXTS}
    remaining = {"name": "nameless", **remaining}
    if not remaining.get("paths"):
        remaining.setdefault("path", "/")
    may_have_condition = invalid - _KEYS or invalid & {
        *CONDITIONS,
        "authenticated",
        "public",
        "nobody",
        "path",
        "paths",
        "host",
    }
    if may_have_condition and remaining.get("public") is not True:
        remaining.setdefault("authenticated", True)
    return remaining


def _faults(error: ValidationError) -> Iterator[tuple[tuple[Step, ...], str]]:
    for details in error.errors(include_url=False):
        cause = details.get("ctx", {}).get("error")
        if isinstance(cause, SettingsError):
            yield from cause.errors.items()
