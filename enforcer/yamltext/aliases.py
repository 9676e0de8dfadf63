"""Aliases (`*name`) of values that a change makes differ from their anchor (`&name`).

`written_out` replaces such an alias by a copy of the value, and turns it into a comment: `labels: *app` becomes
`labels: # *app`, with the value below it. `restored` is the inverse, once the value is that of the anchor again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import yaml

from enforcer.yamltext import writer
from enforcer.yamltext.documents import LOADER, Node, compose, value_of

_ALIAS: Final = re.compile(r":[ \t]+(\*[^\s,\[\]{}]+)")
_COMMENT: Final = re.compile(r":[ \t]+# (\*[^\s,\[\]{}]+)")

_Path = tuple[str | int, ...]


class _Entry(NamedTuple):
    """A member of a block mapping: its path, its key, its value, and the column of the mapping."""

    path: _Path
    key: Node
    node: Node
    column: int


def written_out(text: str, new: Any, offset: int) -> str:
    """Return the text in which each alias is written out whose value in `new` is not that of its anchor."""
    if "*" not in text:
        return text
    first: dict[int, _Path] = {}
    differing = []
    for entry in _entries(compose(text), (), set()):
        anchor = first.setdefault(id(entry.node), entry.path)
        if anchor != entry.path and _at(new, entry.path) != _at(new, anchor):
            differing.append(entry)
    for entry in reversed(differing):
        match = _ALIAS.match(text, entry.key.end_mark.index)
        value = _at(value_of(text), entry.path)
        if match is None or not isinstance(value, dict | list) or not value:
            continue
        end = text.find("\n", match.end())
        end = len(text) if end < 0 else end - (text[end - 1] == "\r")
        indent = " " * (entry.column + (offset if isinstance(value, list) else writer.INDENT))
        line_break = "\r\n" if "\r\n" in text else "\n"
        lines = "".join(f"{line_break}{indent}{line}" for line in writer.block(value, offset))
        text = f"{text[: match.start(1)]}# {text[match.start(1) : end]}{lines}{text[end:]}"
    return text


def restored(text: str, old: Any) -> str:
    """Return the text with the aliases that `written_out` replaced, if their value is the anchor's again.

    `old` is the value of the document before the change, in which they differ.
    """
    if "# *" not in text:
        return text
    events: Iterable[Any] = yaml.parse(text, Loader=LOADER)
    anchors = {event.start_mark.index: event.anchor for event in events if hasattr(event, "tag") and event.anchor}
    value = value_of(text)
    named: dict[str, _Path] = {}
    changes = []
    for path, key, node, _ in _entries(compose(text), (), set()):
        if (name := anchors.get(node.start_mark.index)) is not None:
            named[f"*{name}"] = path
        match = _COMMENT.match(text, key.end_mark.index)
        anchor = named.get(match[1]) if match is not None else None
        if match is None or anchor is None:
            continue
        if _at(value, path) == _at(value, anchor) and _at(old, path) != _at(old, anchor):
            changes.append((match, node))
    for match, node in reversed(changes):
        begin, end = text.index("\n", match.end()), _last(node).end_mark.index
        begin -= text[begin - 1] == "\r"
        text = f"{text[: match.start(1) - 2]}{text[match.start(1) : begin]}{text[end:]}"
    return text


def _entries(node: Node, path: _Path, seen: set[int]) -> Iterator[_Entry]:
    """Yield the members of all block mappings, in the order of the text; those of an alias are not repeated."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, member in node.value:
            inner = (*path, str(key.value))
            if not node.flow_style:
                yield _Entry(inner, key, member, key.start_mark.column)
            yield from _entries(member, inner, seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, member in enumerate(node.value):
            yield from _entries(member, (*path, index), seen)


def _last(node: Node) -> Node:
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        node = node.value[-1][1] if isinstance(node, yaml.MappingNode) else node.value[-1]
    return node


def _at(value: Any, path: _Path) -> Any:
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value
