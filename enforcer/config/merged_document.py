"""A configuration of all its files as one document: the rules of each, with their defaults and scope sets put in.

1. A rule stands where its file has it: whatever is told of one names that file, and the rule's number there.
2. What a rule says itself is before `rule_defaults`, key by key. A public rule has no token, and takes no default that
   speaks of one.
3. `$name` among scopes stands for the set of that name. In a set, every text is a scope.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from enforcer.config.document import BROKEN, Document, Step, dotted, show
from enforcer.config.validate.messages import suggestion
from enforcer.errors import FaultsError, Problem
from enforcer.policy.rules import OF_TOKENS, RuleDefaults, is_scope

_SCOPES: Final = ("scopes", "any_scope")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a rule stands: its file, its number in it, and what is written there."""

    document: Document
    at: int
    written: Any


class MergedDocument:
    """All files as one. `values` are the main file's, with the `rules` of all; `used_sets` are sets that a rule names.

    `problems` are what is wrong with the files as YAML, and with what is put in.
    """

    def __init__(self, main: Document, others: Sequence[Document]) -> None:
        documents = (main, *others)
        self.main = main
        self.origins = [origin for document in documents for origin in _origins(document)]
        self.problems = [problem for document in documents for problem in document.problems]
        self.used_sets: set[str] = set()
        self.values = dict(main.values)
        self._files = [document.file for document in documents]
        named = main.values.get("scope_sets")
        self._named = list(named) if isinstance(named, dict) else []
        self._sets = _usable_sets(main.values)
        if self.origins:
            defaults = self._defaults()
            self.values["rules"] = [
                self._with_scopes(("rules", at), _with_defaults(origin.written, defaults))
                for at, origin in enumerate(self.origins)
            ]

    @property
    def file(self) -> str:
        """The main file's name."""
        return self.main.file

    def own(self, at: int) -> Mapping[str, Any]:
        """Return what a rule says itself."""
        written = self.origins[at].written
        return written if isinstance(written, dict) else {}

    def written(self, key: str) -> Iterator[tuple[tuple[Step, ...], Any]]:
        """Give what the defaults and the rules themselves say by a key, each with its path."""
        defaults = self.main.values.get("rule_defaults")
        if isinstance(defaults, dict) and key in defaults:
            yield ("rule_defaults", key), defaults[key]
        for at, origin in enumerate(self.origins):
            if isinstance(origin.written, dict) and key in origin.written:
                yield ("rules", at, key), origin.written[key]

    def where(self, path: Sequence[Step]) -> tuple[str, int, int]:
        """Return where a value stands: file, line and column."""
        document, own = self._own(path)
        return document.file, *document.place(own)

    def problem(self, path: Sequence[Step], message: str, *, key: Step | None = None) -> Problem:
        """Make a problem of the value at a path, or of one of its keys."""
        document, own = self._own(path)
        if len(own) < len(path):
            # It is no value of the rule's own: what is wrong is what was put into it.
            message = f"{dotted(path[len(own) :])}, of rule_defaults: {message}"
        return document.problem(own, message, key=key)

    def order(self, problem: Problem) -> tuple[int, int, int]:
        """Return a key to sort problems by: the main file first, then line by line."""
        known = problem.file in self._files
        return self._files.index(problem.file) if known else len(self._files), problem.line, problem.column

    def _own(self, path: Sequence[Step]) -> tuple[Document, Sequence[Step]]:
        """Return the file that has a value, and the way to it there, or as far as it leads."""
        if path[:1] != ("rules",) or len(path) < 2:
            return self.main, path
        origin = self.origins[int(path[1])]
        way: list[Step] = ["rules", origin.at]
        value = origin.written
        for step in path[2:]:
            there = isinstance(value, list) and isinstance(step, int) and step < len(value)
            if not there and not (isinstance(value, dict) and step in value):
                break
            value = value[step]
            way.append(step)
        return origin.document, tuple(way)

    def _defaults(self) -> dict[str, Any]:
        """Return the defaults, with what is wrong among them marked as broken: it is told once, not for each rule."""
        written = self.main.values.get("rule_defaults")
        if not isinstance(written, dict):
            return {}
        defaults = {key: value for key, value in written.items() if key in _KEYS}
        wrong, _ = _wrong_in(defaults)
        more, faults = _wrong_in({key: value for key, value in defaults.items() if key not in wrong})
        # What is wrong as a value hides what else is wrong; without that, they are told with the configuration's own.
        self.problems += [self.main.problem(("rule_defaults", *way), text) for way, text in faults.items()]
        marked = {key: BROKEN if key in wrong | more else value for key, value in defaults.items()}
        expanded: dict[str, Any] = self._with_scopes(("rule_defaults",), marked)
        return expanded

    def _with_scopes(self, path: tuple[Step, ...], rule: Any) -> Any:
        if not isinstance(rule, dict):
            return rule
        changed: dict[str, Any] = {}
        for key in _SCOPES:
            scopes = rule.get(key)
            if isinstance(scopes, list) and any(isinstance(one, str) and one[:1] == "$" for one in scopes):
                changed[key] = self._expanded((*path, key), scopes)
        return {**rule, **changed} if changed else rule

    def _expanded(self, path: tuple[Step, ...], scopes: Sequence[Any]) -> list[Any]:
        """Put the scopes of sets in their place: the first there, the others at the end, so that all else keeps its
        number."""
        found: list[Any] = []
        others: list[str] = []
        for at, scope in enumerate(scopes):
            if not isinstance(scope, str) or scope[:1] != "$":
                found.append(scope)
                continue
            name = scope[1:]
            self.used_sets.add(name)
            if name not in self._named:
                hint = suggestion(name, self._named) if self._named else "`scope_sets` has none"
                self.problems.append(self.problem((*path, at), f"no scope set is called {show(name)}; {hint}"))
            members = self._sets.get(name, (BROKEN,))
            found.append(members[0])
            others += members[1:]
        return [*found, *dict.fromkeys(one for one in others if one not in found)]


def _origins(document: Document) -> Iterator[Origin]:
    rules = document.values.get("rules")
    for at, rule in enumerate(rules if isinstance(rules, list) else ()):
        yield Origin(document, at, rule)


def _with_defaults(rule: Any, defaults: Mapping[str, Any]) -> Any:
    if not defaults or not isinstance(rule, dict):
        return rule
    public = rule.get("public") is True
    return {**{key: value for key, value in defaults.items() if not (public and key in OF_TOKENS)}, **rule}


def _usable_sets(values: Mapping[str, Any]) -> dict[str, Sequence[str]]:
    sets = values.get("scope_sets")
    return {
        name: scopes
        for name, scopes in (sets.items() if isinstance(sets, dict) else ())
        if isinstance(scopes, list) and scopes and all(isinstance(one, str) and is_scope(one) for one in scopes)
    }


def _wrong_in(defaults: Mapping[str, Any]) -> tuple[set[Step], Mapping[tuple[Step, ...], str]]:
    """Return the keys of defaults that are wrong, and what is wrong with them where their values are of the right
    kinds."""
    try:
        _adapter().validate_python(defaults)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        mistake = errors[0].get("ctx", {}).get("error")
        if isinstance(mistake, FaultsError):
            return {way[0] for way in mistake.faults}, mistake.faults
        return {one["loc"][0] for one in errors}, {}
    return set(), {}


_KEYS: Final = frozenset(one.name for one in fields(RuleDefaults))


@cache
def _adapter() -> TypeAdapter[RuleDefaults]:
    return TypeAdapter(RuleDefaults)
