"""Aliases (`*name`) of values that a change makes differ from their anchor (`&name`).

`written_out` replaces such an alias by a copy of the value, and turns it into a comment: `port: *web` becomes
`port: 8080 # *web`, and `labels: *app` becomes `labels: # *app`, with the value below it. In flow style, where a
comment would hide the rest of the line, it has none. `restored` is the inverse, once the value is that of the anchor
again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import yaml

from enforcer.yamltext import writer
from enforcer.yamltext.documents import LOADER, Node, compose, value_of
from enforcer.yamltext.json_diff import Change, Path

_ABOVE: Final = re.compile(r"(?::|-)[ \t]+# (\*[^\s,\[\]{}]+)[^\n]*\n[ ]*\Z")
"""A comment on the line above a block, to which it belongs."""
_AFTER: Final = re.compile(r"[ \t]+# (\*[^\s,\[\]{}]+)")

_KEY: Final = -1
"""A step of a path to a key, which no value has."""
_GONE: Final[Path] = (_KEY,)


class Alias(yaml.ScalarNode):
    """An alias in the tree of a document, at its own place in the text; the value is its name."""


class _Entry(NamedTuple):
    """A value in the text: its path, its node, the column of the mapping or list around it, None for flow style."""

    path: Path
    node: Node
    column: int | None


def tree(text: str) -> Node:
    """Return the root node of a document in which aliases are leaves; raises yaml.YAMLError."""
    if not _SUSPECT.search(text):
        return compose(text)
    events = iter(_events(text))
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            return _node(next(events), events)
    return None


_SUSPECT: Final = re.compile(r"(?:\A|[\s,\[{])\*[^\s,\[\]{}]")
"""Text that may be an alias: for other documents, the parser in C builds the tree, which is faster."""


def _events(text: str) -> Iterable[Any]:
    events: Iterable[Any] = yaml.parse(text, Loader=LOADER)
    return events


def _node(event: Any, events: Iterator[Any]) -> Node:
    """Return the node that begins with an event, and consume the events up to its end."""
    begin, end = event.start_mark, event.end_mark
    if isinstance(event, yaml.AliasEvent):
        return Alias(_ALIAS_TAG, event.anchor, begin, end)
    if isinstance(event, yaml.ScalarEvent):
        return yaml.ScalarNode(event.tag or "", event.value, begin, end, event.style)
    is_mapping = isinstance(event, yaml.MappingStartEvent)
    members: list[Node] = []
    for member in events:
        if isinstance(member, yaml.CollectionEndEvent):
            end = member.end_mark
            break
        members.append(_node(member, events))
    if is_mapping:
        pairs = list(zip(members[::2], members[1::2], strict=True))
        return yaml.MappingNode(event.tag, pairs, begin, end, event.flow_style)
    return yaml.SequenceNode(event.tag, members, begin, end, event.flow_style)


_ALIAS_TAG: Final = "!alias"


def _anchors(text: str) -> dict[int, str]:
    """Return the names of anchors by the index of their values in the text."""
    events = (event for event in _events(text) if not isinstance(event, yaml.AliasEvent))
    return {event.start_mark.index: event.anchor for event in events if getattr(event, "anchor", None)}


def written_out(text: str, new: Any, sequence: Sequence[Change], offset: int) -> str:
    """Return the text in which each alias is written out whose value in `new` is not that of its anchor.

    `sequence` are the changes that lead to `new`.
    """
    entries = list(_entries(text, tree(text))) if _SUSPECT.search(text) else []
    if not any(isinstance(entry.node, Alias) for entry in entries):
        return text
    value, names = value_of(text), _anchors(text)
    anchors: dict[str, Path] = {}
    differing = []
    for entry in entries:
        if not isinstance(entry.node, Alias):
            if (name := names.get(entry.node.start_mark.index)) is not None:
                anchors[name] = entry.path
            continue
        anchor = anchors[entry.node.value]
        is_value = _KEY not in entry.path and _KEY not in anchor
        if is_value and _member(new, _moved(entry.path, sequence)) != _member(new, _moved(anchor, sequence)):
            differing.append(entry)
    for entry in reversed(differing):
        begin, end = entry.node.start_mark.index, entry.node.end_mark.index
        text = _written_out(text, begin, end, _member(value, entry.path), entry.column, offset)
    return text


def _moved(path: Path, sequence: Sequence[Change]) -> Path:
    """Return the path that a value has after changes: members of lists and of renamed keys move."""
    for change in sequence:
        depth = len(change.path) - 1
        if path[:depth] != change.path[:depth] or len(path) <= depth:
            continue
        step, place = path[depth], change.path[depth]
        match change.op:
            case "add" if isinstance(step, int) and isinstance(place, int) and step >= place:
                step += 1
            case "remove" if step == place:
                return _GONE
            case "remove" if isinstance(step, int) and isinstance(place, int) and step > place:
                step -= 1
            case "move" if step == place:
                step = change.value
        path = (*path[:depth], step, *path[depth + 1 :])
    return path


def _written_out(text: str, begin: int, end: int, value: Any, column: int | None, offset: int) -> str:
    if column is None:
        return f"{text[:begin]}{writer.flow(value)}{text[end:]}"
    if not isinstance(value, dict | list) or not value:
        return f"{text[:begin]}{writer.scalar(value)} # {text[begin:]}"
    line_end = text.find("\n", end)
    line_end = len(text) if line_end < 0 else line_end - (text[line_end - 1] == "\r")
    indent = " " * (column + (offset if isinstance(value, list) else writer.INDENT))
    line_break = "\r\n" if "\r\n" in text else "\n"
    lines = "".join(f"{line_break}{indent}{line}" for line in writer.block(value, offset))
    return f"{text[:begin]}# {text[begin:line_end]}{lines}{text[line_end:]}"


def restored(text: str, old: Any) -> str:
    """Return the text with the aliases that `written_out` replaced, if their value is the anchor's again.

    `old` is the value of the document before the change, in which they differ.
    """
    if "# *" not in text:
        return text
    value, names = value_of(text), _anchors(text)
    anchors: dict[str, Path] = {}
    changes = []
    for path, node, column in _entries(text, tree(text)):
        if (name := names.get(node.start_mark.index)) is not None:
            anchors[f"*{name}"] = path
        if column is None or isinstance(node, Alias):
            continue
        is_block = isinstance(node, yaml.CollectionNode) and not node.flow_style
        match = _comment_above(text, node.start_mark.index) if is_block else _AFTER.match(text, node.end_mark.index)
        anchor = anchors.get(match[1]) if match is not None else None
        if match is None or anchor is None:
            continue
        if _member(value, path) == _member(value, anchor) and _member(old, path) != _member(old, anchor):
            changes.append((match, node, is_block))
    for match, node, is_block in reversed(changes):
        if is_block:
            line_end, end = text.index("\n", match.end(1)), _last(node).end_mark.index
            line_end -= text[line_end - 1] == "\r"
            text = f"{text[: match.start(1) - 2]}{text[match.start(1) : line_end]}{text[end:]}"
        else:
            text = f"{text[: node.start_mark.index]}{text[match.start(1) :]}"
    return text


def _comment_above(text: str, begin: int) -> re.Match[str] | None:
    line = text.rfind("\n", 0, begin)
    return _ABOVE.search(text, text.rfind("\n", 0, max(line, 0)) + 1, begin)


def _entries(text: str, node: Node, path: Path = (), column: int | None = 0) -> Iterator[_Entry]:
    """Yield all values in the order of the text, keys included."""
    yield _Entry(path, node, column)
    is_block = column is not None and isinstance(node, yaml.CollectionNode) and not node.flow_style
    if isinstance(node, yaml.MappingNode):
        for key, member in node.value:
            yield from _entries(text, key, (*path, _KEY, str(key.value)), None)
            inner = int(key.start_mark.column) if is_block else None
            yield from _entries(text, member, (*path, str(key.value)), inner)
    elif isinstance(node, yaml.SequenceNode):
        for index, member in enumerate(node.value):
            yield from _entries(text, member, (*path, index), _dashes(text, node) if is_block else None)


def _dashes(text: str, node: Node) -> int:
    """Return the column of the dashes of a list; an anchor is on a line before them."""
    match = _FIRST_DASH.match(text, node.start_mark.index)
    return int(node.start_mark.column) if match is None else len(match[1])


_FIRST_DASH: Final = re.compile(r"[&!][^\n]*\n(?:[ ]*(?:#[^\n]*)?\n)*([ ]*)-")


def _last(node: Node) -> Node:
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        node = node.value[-1][1] if isinstance(node, yaml.MappingNode) else node.value[-1]
    return node


def _member(value: Any, path: Path) -> Any:
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value
