"""All files of a configuration merged into one document: rules of every file, with defaults and scope sets applied.

1. A rule keeps its file: each error names the rule's file, and its index there.
2. A rule's own key overrides that of the `rule_defaults` of its file, and these those of the main file; `claims`,
   `query` and `headers` are merged by name. A public rule has no token, and takes no default that concerns one.
3. `$name` in a list of scopes stands for the set of that name. Within a set, every text is a scope.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from enforcer.config.documents.document import BROKEN, MAX_VALUES, Document, Step, dotted, show
from enforcer.config.model import RULE_FILE_ADAPTER
from enforcer.config.schema import MERGED, rule_file_shape
from enforcer.config.validate.messages import problems, suggestion
from enforcer.errors import ConfigError, Problem, SettingsError
from enforcer.policy.hierarchy import ScopeHierarchy, closure_steps
from enforcer.policy.rules import REQUEST_CONDITIONS, TOKEN_KEYS, RuleDefaults, is_scope

_SCOPE_LISTS: Final = ("scopes", "any_scope")


@dataclass(frozen=True, slots=True)
class RuleSource:
    """The file of a rule, its index there, and the value as written."""

    document: Document
    index: int
    written: Any


class MergedDocument:
    """All files as one. `values` are the main file's with the `rules` of every file; `used_sets` the scope sets in use.

    `problems` are YAML errors, and errors in the defaults and scope sets. In a path, `("rule_defaults", 2)` are the
    defaults of the second rule file; without a number, they are those of the main file.
    """

    def __init__(self, main: Document, others: Sequence[Document]) -> None:
        documents = (main, *others)
        self.main = main
        self._documents = documents
        self.rule_sources = [source for document in documents for source in _rule_sources(document)]
        self.problems = [problem for document in documents for problem in document.problems]
        self.used_sets: set[str] = set()
        self.count = sum(document.count for document in documents)
        """Number of values in all files."""
        self._defaults_by_file: dict[str, Mapping[str, Any]] = {}
        self._expanded = 0  # values that the rules get from defaults and scope sets
        self.values = dict(main.values)
        self._files = [document.file for document in documents]
        sets = main.values.get("scope_sets")
        self._set_names = list(sets) if isinstance(sets, dict) else []
        self._sets = _valid_sets(main.values)
        if self.rule_sources:
            general = self._defaults(main, ("rule_defaults",), {})
            self._defaults_by_file = defaults = {main.file: general}
            for number, document in enumerate(others, 1):
                defaults[document.file] = self._defaults(document, ("rule_defaults", number), general)
            counts = Counter(source.document.file for source in self.rule_sources)
            for file, count in counts.items():
                self._add(("rule_defaults",), count * _count(defaults[file]))
            self.values["rules"] = [
                self._expand_sets(("rules", index), _with_defaults(source.written, defaults[source.document.file]))
                for index, source in enumerate(self.rule_sources)
            ]
            self._count_implied()

    def own(self, index: int) -> Mapping[str, Any]:
        """Return the keys written in the rule itself, without defaults."""
        written = self.rule_sources[index].written
        return written if isinstance(written, dict) else {}

    def defaults_over(self, path: Sequence[Step]) -> Mapping[str, Any]:
        """Return the defaults that a value written at a path overrides: those of its rule, or of the configuration."""
        if path[:1] == ("rules",):
            return self._defaults_by_file[self.rule_sources[int(path[1])].document.file]
        return self._defaults_by_file.get(self.main.file, {}) if isinstance(path[1], int) else {}

    def written(self, key: str) -> Iterator[tuple[tuple[Step, ...], Any]]:
        """Yield each value written for a key, in `rule_defaults` and in rules, with its path."""
        for number, document in enumerate(self._documents):
            defaults = document.values.get("rule_defaults")
            if isinstance(defaults, dict) and key in defaults:
                yield ("rule_defaults", *([number] if number else []), key), defaults[key]
        for index, source in enumerate(self.rule_sources):
            if isinstance(source.written, dict) and key in source.written:
                yield ("rules", index, key), source.written[key]

    def where(self, path: Sequence[Step]) -> tuple[str, int, int]:
        """Return the position of a value: file, line and column."""
        document, path_in_file = self._locate(path)
        return document.file, *document.place(path_in_file)

    def problem(self, path: Sequence[Step], message: str, *, key: Step | None = None) -> Problem:
        document, path_in_file = self._locate(path)
        if path[:1] == ("rules",) and len(path_in_file) < len(path):
            # The rule itself has no such value: it comes from the defaults.
            message = f"{dotted(path[len(path_in_file) :])}, of rule_defaults: {message}"
        return document.problem(path_in_file, message, key=key)

    def order(self, problem: Problem) -> tuple[int, int, int]:
        """Return a sort key for problems: the main file first, then line by line."""
        known = problem.file in self._files
        return self._files.index(problem.file) if known else len(self._files), problem.line, problem.column

    def _locate(self, path: Sequence[Step]) -> tuple[Document, Sequence[Step]]:
        """Return the file of a value and its path there, as far as the file has it."""
        if path[:1] == ("rule_defaults",) and len(path) > 1 and isinstance(path[1], int):
            return self._documents[path[1]], ("rule_defaults", *path[2:])
        if path[:1] != ("rules",) or len(path) < 2:
            return self.main, path
        source = self.rule_sources[int(path[1])]
        path_in_file: list[Step] = ["rules", source.index]
        value = source.written
        for step in path[2:]:
            is_item = isinstance(value, list) and isinstance(step, int) and step < len(value)
            if not is_item and not (isinstance(value, dict) and step in value):
                break
            value = value[step]
            path_in_file.append(step)
        return source.document, tuple(path_in_file)

    def _defaults(self, document: Document, path: tuple[Step, ...], general: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the defaults of a file over the general ones.

        Invalid ones are marked as broken, so that an error is reported once, not per rule.
        """
        written, removed = _without_removed(document.values.get("rule_defaults"), general)
        if document is not self.main and "rule_defaults" in document.values:
            # Those of the main file are validated as a part of the whole configuration.
            self.problems += _problems_of_defaults(document, written)
        if not isinstance(written, dict):
            return general
        defaults = {key: value for key, value in written.items() if key in _KEYS}
        of_wrong_type, _ = _invalid(defaults)
        # A value of the wrong type hides other errors: validate again without it.
        invalid, faults = _invalid({key: value for key, value in defaults.items() if key not in of_wrong_type})
        self.problems += [self.problem((*path, *steps), message) for steps, message in faults.items()]
        marked = {key: BROKEN if key in of_wrong_type | invalid else value for key, value in defaults.items()}
        return _layered(general, self._expand_sets(path, marked), removed)

    def _expand_sets(self, path: tuple[Step, ...], rule: Any) -> Any:
        if not isinstance(rule, dict):
            return rule
        changed: dict[str, Any] = {}
        for key in _SCOPE_LISTS:
            scopes = rule.get(key)
            if isinstance(scopes, list) and any(isinstance(scope, str) and scope[:1] == "$" for scope in scopes):
                changed[key] = self._expand((*path, key), scopes)
        options = rule.get("any_of")
        if isinstance(options, list):
            expanded = [self._expand_sets((*path, "any_of", index), option) for index, option in enumerate(options)]
            if any(new is not old for new, old in zip(expanded, options, strict=True)):
                changed["any_of"] = expanded
        return {**rule, **changed} if changed else rule

    def _expand(self, path: tuple[Step, ...], scopes: Sequence[Any]) -> list[Any]:
        """Replace each set by its first scope and append the others, so that all other items keep their index."""
        expanded: list[Any] = []
        appended: list[str] = []
        for index, scope in enumerate(scopes):
            if not isinstance(scope, str) or scope[:1] != "$":
                expanded.append(scope)
                continue
            name = scope[1:]
            self.used_sets.add(name)
            if name not in self._set_names:
                hint = suggestion(name, self._set_names) if self._set_names else "`scope_sets` is empty"
                self.problems.append(self.problem((*path, index), f"no scope set is called {show(name)}; {hint}"))
            members = self._sets.get(name, (BROKEN,))
            expanded.append(members[0])
            self._add(path, len(members))
            appended += members[1:]
        present = {scope for scope in expanded if isinstance(scope, str)}
        return [*expanded, *dict.fromkeys(scope for scope in appended if scope not in present)]

    def _count_implied(self) -> None:
        """Count the scopes that a rule accepts instead of those it names, by `scope_implies`."""
        written = self.main.values.get("scope_implies")
        implies = {
            scope: [each for each in included if isinstance(each, str)]
            for scope, included in (written.items() if isinstance(written, dict) else ())
            if isinstance(included, list)
        }
        if closure_steps(implies, MAX_VALUES) > MAX_VALUES:
            message = f"the scopes include others in more than {MAX_VALUES} ways, through several steps"
            raise ConfigError([*self.problems, self.problem(("scope_implies",), message)])
        hierarchy = ScopeHierarchy(implies)
        for index, rule in enumerate(self.values["rules"] if implies else ()):
            for conditions in (rule, *_alternatives(rule)):
                scopes = conditions.get("any_scope") if isinstance(conditions, dict) else None
                for scope in scopes if isinstance(scopes, list) else ():
                    if isinstance(scope, str):
                        self._add(("rules", index), len(hierarchy.including(scope)))

    def _add(self, path: Sequence[Step], values: int) -> None:
        """Count values that defaults or sets add to rules: a short file must not become a large policy."""
        self._expanded += values
        if self._expanded > MAX_VALUES:
            message = (
                f"with defaults, scope sets and scope_implies applied, the rules have more than {MAX_VALUES} values"
            )
            raise ConfigError([*self.problems, self.problem(path, message)])


def _alternatives(rule: Any) -> Sequence[Any]:
    alternatives = rule.get("any_of") if isinstance(rule, dict) else None
    return alternatives if isinstance(alternatives, list) else ()


def _count(value: Any) -> int:
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_count, members))


def _rule_sources(document: Document) -> Iterator[RuleSource]:
    rules = document.values.get("rules")
    for index, rule in enumerate(rules if isinstance(rules, list) else ()):
        yield RuleSource(document, index, rule)


def _with_defaults(rule: Any, defaults: Mapping[str, Any]) -> Any:
    if not defaults or not isinstance(rule, dict):
        return rule
    excluded: tuple[str, ...] = TOKEN_KEYS if rule.get("public") is True else ()
    if rule.get("nobody") is True:
        excluded = (*TOKEN_KEYS, *REQUEST_CONDITIONS)
    merged = {**{key: value for key, value in defaults.items() if key not in excluded}, **rule}
    for key in MERGED:
        if key in rule and key not in excluded:
            merged[key] = _with_default_members(rule[key], defaults.get(key))
    return merged


def _with_default_members(members: Any, defaults: Any) -> Any:
    """Add the default members by name, because a rule with one more claim must not lose the check of the tenant."""
    if not isinstance(members, dict) or not isinstance(defaults, dict):
        return members
    removed = {name for name, value in members.items() if value is None and name in defaults}
    return {name: value for name, value in {**defaults, **members}.items() if name not in removed}


def _without_removed(written: Any, general: Mapping[str, Any]) -> tuple[Any, dict[str, set[str]]]:
    """Return the defaults of a file without the nulls that take a general one away, and the names of these."""
    if not isinstance(written, dict):
        return written, {}
    removed = {}
    for key in MERGED:
        members, defaults = written.get(key), general.get(key)
        if isinstance(members, dict) and isinstance(defaults, dict):
            removed[key] = {name for name, value in members.items() if value is None and name in defaults}
    cleaned = {
        key: {name: each for name, each in value.items() if name not in removed[key]} if removed.get(key) else value
        for key, value in written.items()
    }
    return cleaned, removed


def _layered(general: Mapping[str, Any], own: Mapping[str, Any], removed: Mapping[str, set[str]]) -> Mapping[str, Any]:
    """Return the defaults of a file over the general ones, without the removed names."""
    merged = {**general, **own}
    for key in removed:
        if isinstance(own.get(key), dict):
            remaining = {name: value for name, value in general[key].items() if name not in removed[key]}
            merged[key] = {**remaining, **own[key]}
    return merged


def _problems_of_defaults(document: Document, written: Any) -> list[Problem]:
    """Return the errors in the defaults of a rule file, except those that others hide."""
    try:
        RULE_FILE_ADAPTER.validate_python({"rules": [], "rule_defaults": written})
    except ValidationError as error:
        return [*problems(error.errors(include_url=False), document, rule_file_shape)]
    return []


def _valid_sets(values: Mapping[str, Any]) -> dict[str, Sequence[str]]:
    sets = values.get("scope_sets")
    return {
        name: scopes
        for name, scopes in (sets.items() if isinstance(sets, dict) else ())
        if isinstance(scopes, list) and scopes and all(isinstance(scope, str) and is_scope(scope) for scope in scopes)
    }


def _invalid(defaults: Mapping[str, Any]) -> tuple[set[Step], Mapping[tuple[Step, ...], str]]:
    """Return the keys of invalid defaults, and the messages for those whose values have the right type."""
    try:
        _ADAPTER.validate_python(defaults)
    except ValidationError as error:
        invalid: set[Step] = set()
        faults: dict[tuple[Step, ...], str] = {}
        for details in error.errors(include_url=False):
            section, cause = details["loc"], details.get("ctx", {}).get("error")
            if isinstance(cause, SettingsError):
                # Its paths begin at the section that has raised it, such as `token_from`.
                faults.update({(*section, *path): message for path, message in cause.errors.items()})
            else:
                invalid.add(section[0])
        return invalid | {path[0] for path in faults}, faults
    return set(), {}


_KEYS: Final = frozenset(field.name for field in fields(RuleDefaults))
_ADAPTER: Final = TypeAdapter(RuleDefaults)
