"""Writes proposed rules as YAML, for a person to edit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from textwrap import wrap
from typing import Any, Final

from enforcer.policy.rules import Rule

_PLAIN: Final = re.compile(r"[A-Za-z/_][A-Za-z0-9/_.{}-]*(?: [A-Za-z0-9/_.{}-]+)*(?:/\*\*)?|/\*\*")
_PLAIN_IN_LIST: Final = re.compile(r"[A-Za-z/][A-Za-z0-9/_.-]*")
_WORDS: Final = re.compile(r"(?:true|false|null|yes|no|on|off|y|n)", re.IGNORECASE)  # not text to some parsers
_WRITTEN: Final = frozenset(
    ("name", "path", "paths", "host", "methods", "scopes", "any_scope", "claims", "public", "authenticated")
)
_EMPTY: Final = Rule(name="none", path="/", nobody=True)
_DEFAULTS: Final = {
    field.name: getattr(_EMPTY, field.name) if field.name != "nobody" else False
    for field in fields(Rule)
    if field.name not in _WRITTEN
}
"""The keys that are not written, and the values that they must have."""
_MAX_NAME: Final = 100
_WIDTH: Final = 120
"""Columns of a line."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposed rule, with comments for the person who edits it."""

    rule: Rule
    comments: tuple[str, ...] = ()


def write(proposals: Iterable[Proposal]) -> str:
    """Return the `rules` section of a configuration, ending in a line break."""
    lines = [line for proposal in proposals for line in _lines(proposal)]
    return "".join(f"{line}\n" for line in (["rules:", *lines[1:]] if lines else ["rules: []"]))


def comment(lines: Iterable[str], indent: str = "") -> list[str]:
    """Return lines as comments; unprintable characters are escaped, so that no content ends a comment."""
    return [f"{indent}# {printable(line)}".rstrip() for line in lines]


def _lines(proposal: Proposal) -> Iterator[str]:
    rule = proposal.rule
    # A condition that is left out would make the rule allow more.
    if unwritten := [name for name in _DEFAULTS if getattr(rule, name) != _DEFAULTS[name]]:
        raise ValueError(f"rule {rule.name}: {', '.join(unwritten)} cannot be written")
    yield ""
    yield from comment(proposal.comments, "  ")
    yield f"  - name: {_scalar(rule.name)}"
    if rule.path is not None:
        yield f"    path: {_scalar(rule.path)}"
    else:
        # Several paths a line: a rule of a large document has hundreds.
        paths = ", ".join(_scalar(path, _PLAIN_IN_LIST).replace(" ", "\0") for path in rule.paths)
        lines = wrap(paths, _WIDTH - 6, break_long_words=False, break_on_hyphens=False)
        lines = [line.replace("\0", " ") for line in lines]
        short = len(lines) == 1 and len(lines[0]) <= _WIDTH - 13
        yield from (
            [f"    paths: [{lines[0]}]"] if short else ["    paths: [", *(f"      {line}" for line in lines), "    ]"]
        )
    if rule.host is not None:
        yield f"    host: {_scalar(rule.host)}"
    for key in ("methods", "scopes", "any_scope"):
        values: Sequence[str] = getattr(rule, key)
        if values:
            yield f"    {key}: [{', '.join(_scalar(value, _PLAIN_IN_LIST) for value in values)}]"
    if rule.claims:
        yield f"    claims: {{{', '.join(f'{_scalar(name)}: {_value(value)}' for name, value in rule.claims.items())}}}"
    for key in ("public", "authenticated"):
        if getattr(rule, key):
            yield f"    {key}: true"


def _value(value: Any) -> str:
    return _scalar(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _scalar(text: str, plain: re.Pattern[str] = _PLAIN) -> str:
    return text if plain.fullmatch(text) and not _WORDS.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def unique_name(wanted: str, taken: set[str]) -> str:
    """Return a rule name like the wanted one that is not in `taken`, and add it there."""
    name = "".join(char if char.isprintable() else "?" for char in wanted).strip().lstrip("_") or "rule"
    name = name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 1]}…"
    number = 1
    unique = name
    while unique in taken:
        number += 1
        suffix = f" ({number})"
        unique = f"{name[: _MAX_NAME - len(suffix)]}{suffix}"
    taken.add(unique)
    return unique


def printable(text: str) -> str:
    """Return text with unprintable characters escaped, because untrusted paths, claims and titles go to terminals."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
