"""Makes changes to a document in its own text, so that all else in it stays as it is, to the byte.

1. What is added after a member begins a line after the last one of that member; what is removed takes its whole lines.
   So a removal is the exact opposite of an addition, comments and line ends included.
2. Within flow style (JSON, too) the same holds of what is between two commas.
3. A scalar that takes the place of another is quoted as that was (in flow style, of a number: as its key is), and lists
   are indented as the others are.
4. At the end the text is read again. If it does not mean what it should, it is refused rather than written.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import yaml

from enforcer.errors import EnforcerError
from enforcer.yamltext import writer
from enforcer.yamltext.documents import ManifestError, Node, compose, resolve, value_of
from enforcer.yamltext.json_diff import Change, Path, changes


class RewritingError(EnforcerError):
    """A document that is written in a way that cannot be changed in place."""


def rewritten(text: str, old: Any, new: Any) -> str:
    """Return the text of a document that means `old`, changed so that it means `new`; raises RewritingError."""
    result = text
    try:
        offset = _offset(compose(text))
        for change in changes(old, new):
            result = _made(result, change, offset)
        meant = value_of(result)
    except (yaml.YAMLError, ManifestError, _CannotError):
        meant = None
    if meant != new:
        raise RewritingError("is written in a way that cannot be changed in place: write out anchors and aliases")
    return result


_FLOW_MARKS: Final = frozenset(",[]{}")


class _CannotError(Exception):
    """A change that there is no way to make."""


class _Spot(NamedTuple):
    """A mapping or list in the text, and the key that it is the value of; None at the top, or in a list."""

    node: Node
    key: Node | None


def _offset(node: Node) -> int:
    """Return by how much lists are indented in mappings: as the first one is."""
    waiting = [node]
    for one in waiting:
        if isinstance(one, yaml.MappingNode) and not one.flow_style:
            for key, member in one.value:
                if isinstance(member, yaml.SequenceNode) and not member.flow_style:
                    return int(member.start_mark.column - key.start_mark.column)
                waiting.append(member)
        elif isinstance(one, yaml.SequenceNode):
            waiting.extend(one.value)
    return writer.INDENT


def _made(text: str, change: Change, offset: int) -> str:
    spot = _find(compose(text), change.path[:-1])
    if change.op == "add":
        return _added(text, spot, change, offset)
    at = _position(spot.node, change.path[-1])
    if change.op == "remove":
        return _removed(text, spot, at)
    if change.op == "move":
        key = spot.node.value[at][0]
        return f"{text[: key.start_mark.index]}{_like(key, change.value)}{text[key.end_mark.index :]}"
    return _replaced(text, spot, at, change, offset)


def _find(node: Node, path: Path) -> _Spot:
    key = None
    for step in path:
        member = node.value[_position(node, step)]
        key, node = member if isinstance(node, yaml.MappingNode) else (None, member)
    return _Spot(node, key)


def _position(node: Node, step: str | int) -> int:
    if isinstance(step, int):
        return step
    return next(at for at, (key, _) in enumerate(node.value) if key.value == step)


def _members(node: Node) -> list[tuple[Node, Node]]:
    """Return where each member begins and where it ends: a key and its value, or an item twice."""
    return list(node.value) if isinstance(node, yaml.MappingNode) else [(item, item) for item in node.value]


def _added(text: str, spot: _Spot, change: Change, offset: int) -> str:
    node, name = spot.node, change.path[-1]
    if isinstance(name, int):
        at = name
        lines, written = writer.item(change.value, offset), writer.flow(change.value)
    else:
        at = 0 if change.after is None else _position(node, change.after) + 1
        lines = writer.entry(name, change.value, offset)
        written = f"{writer.flow(name)}: {writer.flow(change.value)}"
    members = _members(node)
    if node.flow_style:
        if at:
            end = _end(text, members[at - 1][1])
            return f"{text[:end]}, {written}{text[end:]}"
        begin = members[0][0].start_mark.index if members else node.start_mark.index + 1
        return f"{text[:begin]}{written}{', ' if members else ''}{text[begin:]}"
    if not members:
        raise _CannotError
    if at:
        end = _end(text, members[at - 1][1])
    elif spot.key is not None:
        end = spot.key.end_mark.index
    else:
        # The first member of an item stands on the line of its dash.
        raise _CannotError
    return _inserted(text, _line_end(text, end), lines, node.start_mark.column)


def _removed(text: str, spot: _Spot, at: int) -> str:
    members = _members(spot.node)
    begin, end = members[at][0].start_mark.index, _end(text, members[at][1])
    if spot.node.flow_style:
        if at:
            begin = _end(text, members[at - 1][1])
        elif len(members) > 1:
            end = members[1][0].start_mark.index
        return text[:begin] + text[end:]
    if len(members) == 1:
        # A block has at least one member.
        empty = "{}" if isinstance(spot.node, yaml.MappingNode) else "[]"
        return _instead(text, spot, empty)
    return _without_lines(text, _line_begin(text, begin), _line_end(text, end), spot.node.start_mark.column)


def _replaced(text: str, spot: _Spot, at: int, change: Change, offset: int) -> str:
    begin, member = _members(spot.node)[at]
    value = change.value
    inner = _Spot(member, begin if isinstance(spot.node, yaml.MappingNode) else None)
    if spot.node.flow_style:
        # A number has no quotes that a text could have too; its key may.
        model = member if _is_text(member) else begin
        written = _like(model, value) if _is_text(model) and "," not in str(value) else writer.flow(value)
    elif isinstance(value, dict | list) and value and inner.key is not None and _is_nothing(member):
        indent = spot.node.start_mark.column + (offset if isinstance(value, list) else writer.INDENT)
        return _inserted(text, _line_end(text, inner.key.end_mark.index), writer.block(value, offset), indent)
    elif value is None and inner.key is not None and isinstance(member, yaml.CollectionNode) and not member.flow_style:
        return _without_lines(text, _line_begin(text, member.start_mark.index), _line_end(text, _end(text, member)), 0)
    elif isinstance(member, yaml.ScalarNode) and member.style in ("|", ">"):
        key = str(change.path[-1])
        lines = writer.entry(key, value, offset)
        more = _inserted(text, _line_end(text, _end(text, member)), lines, begin.start_mark.column)
        return _without_lines(more, _line_begin(more, begin.start_mark.index), _line_end(more, _end(text, member)), 0)
    elif isinstance(member, yaml.CollectionNode) and not member.flow_style:
        return _instead(text, inner, writer.flow(value))
    else:
        written = _like(member, value)
    start, end = member.start_mark.index, _end(text, member)
    space = "" if start and text[start - 1].isspace() else " "
    return f"{text[:start]}{space}{written}{text[end:]}"


def _like(member: Node, value: Any) -> str:
    """Write a scalar with the quotes of another."""
    if isinstance(value, dict | list) or not isinstance(member, yaml.ScalarNode):
        return writer.flow(value)
    if isinstance(value, str) and member.style == "'" and value.isprintable():
        return writer.single_quoted(value)
    if isinstance(value, str) and member.style == '"':
        return writer.flow(value)
    return value if isinstance(value, str) and _means_itself(value) else writer.scalar(value)


def _means_itself(text: str) -> bool:
    """Tell whether a text needs no quotes where another has none, in block and in flow style."""
    if not text.isprintable() or not _FLOW_MARKS.isdisjoint(text):
        return False
    try:
        (item,) = compose(f"- {text}").value
    except (yaml.YAMLError, ValueError):
        return False
    return isinstance(item, yaml.ScalarNode) and not item.style and item.value == text and _is_text(item)


def _is_text(member: Node) -> bool:
    return isinstance(member, yaml.ScalarNode) and (bool(member.style) or isinstance(resolve(member.value), str))


def _is_nothing(member: Node) -> bool:
    return isinstance(member, yaml.ScalarNode) and not member.style and not member.value


def _instead(text: str, spot: _Spot, written: str) -> str:
    """Put one line's text in the place of a block that is the value of a key."""
    if spot.key is None:
        raise _CannotError
    begin = _line_begin(text, spot.node.start_mark.index)
    rest = _without_lines(text, begin, _line_end(text, _end(text, spot.node)), 0)
    colon = text.index(":", spot.key.end_mark.index) + 1
    return f"{rest[:colon]} {written}{rest[colon:]}"


def _inserted(text: str, end: int, lines: Iterable[str], indent: int) -> str:
    """Put lines after the one that ends there."""
    line_break = "\r\n" if "\r\n" in text else "\n"
    written = "".join(f"{line_break}{' ' * indent}{line}" if line else line_break for line in lines)
    return text[:end] + written + text[end:]


def _without_lines(text: str, begin: int, end: int, column: int) -> str:
    """Take lines away, from the beginning of one to the end of another."""
    if begin and not text[begin:].startswith(" " * column):
        raise _CannotError
    before = text[:begin]
    if before.endswith("\r\n"):
        return before[:-2] + text[end:]
    if before.endswith("\n"):
        return before[:-1] + text[end:]
    return before + text[end:].removeprefix("\r").removeprefix("\n")


def _line_begin(text: str, index: int) -> int:
    return text.rfind("\n", 0, index) + 1


def _line_end(text: str, index: int) -> int:
    end = text.find("\n", index)
    if end < 0:
        return len(text)
    return end - 1 if text[end - 1 : end] == "\r" else end


def _end(text: str, node: Node) -> int:
    """Return where a node's own text ends: that of a block ends with its last member."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        node = node.value[-1][1] if isinstance(node, yaml.MappingNode) else node.value[-1]
    end: int = node.end_mark.index
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        # PyYAML counts the empty lines and the comments after it too.
        return node.start_mark.index + len(text[node.start_mark.index : end].rstrip())
    return end
