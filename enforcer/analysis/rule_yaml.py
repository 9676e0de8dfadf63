"""Proposed rules as YAML for a person to edit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from enforcer.policy.rules import Rule

_PLAIN: Final = re.compile(r"[A-Za-z/_][A-Za-z0-9/_.{}-]*(?: [A-Za-z0-9/_.{}-]+)*(?:/\*\*)?|/\*\*")
_PLAIN_IN_LIST: Final = re.compile(r"[A-Za-z][A-Za-z0-9/_.-]*")
_WORDS: Final = re.compile(r"(?:true|false|null|yes|no|on|off|y|n)", re.IGNORECASE)  # to some readers no text
_LONGEST_NAME: Final = 100


@dataclass(frozen=True, slots=True)
class Proposal:
    """A rule, and what a person should know of it."""

    rule: Rule
    comments: tuple[str, ...] = ()


def write(proposals: Iterable[Proposal]) -> str:
    """Write the `rules` section of a configuration, ending in a line break."""
    lines = [line for proposal in proposals for line in _lines(proposal)]
    return "".join(f"{line}\n" for line in (["rules:", *lines[1:]] if lines else ["rules: []"]))


def comment(lines: Iterable[str], indent: str = "") -> list[str]:
    """Write lines as comments; what a line holds cannot end it."""
    return [f"{indent}# {printable(line)}".rstrip() for line in lines]


def _lines(proposal: Proposal) -> Iterator[str]:
    rule = proposal.rule
    yield ""
    yield from comment(proposal.comments, "  ")
    yield f"  - name: {_scalar(rule.name)}"
    yield f"    path: {_scalar(rule.path)}"
    for key in ("methods", "scopes", "any_scope"):
        values: Sequence[str] = getattr(rule, key)
        if values:
            yield f"    {key}: [{', '.join(_scalar(value, _PLAIN_IN_LIST) for value in values)}]"
    for key in ("public", "authenticated"):
        if getattr(rule, key):
            yield f"    {key}: true"


def _scalar(text: str, plain: re.Pattern[str] = _PLAIN) -> str:
    return text if plain.fullmatch(text) and not _WORDS.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def unique_name(wanted: str, taken: set[str]) -> str:
    """Return a name for a rule like the wanted one that is not taken, and take it."""
    name = "".join(one if one.isprintable() else "?" for one in wanted).strip().lstrip("_") or "rule"
    name = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
    number = 1
    found = name
    while found in taken:
        number += 1
        suffix = f" ({number})"
        found = f"{name[: _LONGEST_NAME - len(suffix)]}{suffix}"
    taken.add(found)
    return found


def printable(text: str) -> str:
    """Write what a terminal could obey as what it is: paths, claims and titles are written by strangers."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
