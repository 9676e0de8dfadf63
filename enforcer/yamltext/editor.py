"""Edits the text of a YAML document in place, so that everything that does not change stays the same to the byte.

1. An addition starts on the line after the member that it follows; a removal takes whole lines. So a removal is the
   exact inverse of an addition, comments and line ends included.
2. In flow style, JSON included, the same holds for the text between two commas.
3. A replaced scalar keeps the quotes of the former one (in flow style a number takes those of its key), and lists are
   indented like the other lists of the document.
4. The result is parsed again. If its value is not the wanted one, RewritingError is raised and nothing is written.
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
    """A document whose form does not allow a change in place."""


def rewritten(text: str, old: Any, new: Any) -> str:
    """Return the text of a document with the value `old`, edited to have the value `new`; raises RewritingError."""
    result = text
    try:
        offset = _offset(compose(text))
        for change in changes(old, new):
            result = _apply(result, change, offset)
        value = value_of(result)
    except (yaml.YAMLError, ManifestError, _NotInPlaceError):
        value = None
    if value != new:
        raise RewritingError("is written in a way that cannot be changed in place: write out anchors and aliases")
    return result


_FLOW_MARKS: Final = frozenset(",[]{}")


class _NotInPlaceError(Exception):
    """A change that cannot be made in place."""


class _Parent(NamedTuple):
    """A mapping or list in the text, and the key that it is the value of; None at the top or in a list."""

    node: Node
    key: Node | None


def _offset(node: Node) -> int:
    """Return the indentation of lists in mappings: that of the first such list."""
    queue = [node]
    for parent in queue:
        if isinstance(parent, yaml.MappingNode) and not parent.flow_style:
            for key, member in parent.value:
                if isinstance(member, yaml.SequenceNode) and not member.flow_style:
                    return int(member.start_mark.column - key.start_mark.column)
                queue.append(member)
        elif isinstance(parent, yaml.SequenceNode):
            queue.extend(parent.value)
    return writer.INDENT


def _apply(text: str, change: Change, offset: int) -> str:
    parent = _find(compose(text), change.path[:-1])
    if change.op == "add":
        return _add(text, parent, change, offset)
    index = _position(parent.node, change.path[-1])
    if change.op == "remove":
        return _remove(text, parent, index)
    if change.op == "move":
        key = parent.node.value[index][0]
        return f"{text[: key.start_mark.index]}{_like(key, change.value)}{text[key.end_mark.index :]}"
    return _replace(text, parent, index, change, offset)


def _find(node: Node, path: Path) -> _Parent:
    key = None
    for step in path:
        member = node.value[_position(node, step)]
        key, node = member if isinstance(node, yaml.MappingNode) else (None, member)
    return _Parent(node, key)


def _position(node: Node, step: str | int) -> int:
    if isinstance(step, int):
        return step
    return next(index for index, (key, _) in enumerate(node.value) if key.value == step)


def _members(node: Node) -> list[tuple[Node, Node]]:
    """Return the first and the last node of each member: a mapping's key and value, or a list's item twice."""
    return list(node.value) if isinstance(node, yaml.MappingNode) else [(item, item) for item in node.value]


def _add(text: str, parent: _Parent, change: Change, offset: int) -> str:
    node, name = parent.node, change.path[-1]
    if isinstance(name, int):
        index = name
        lines, written = writer.item(change.value, offset), writer.flow(change.value)
    else:
        index = 0 if change.after is None else _position(node, change.after) + 1
        lines = writer.entry(name, change.value, offset)
        written = f"{writer.flow(name)}: {writer.flow(change.value)}"
    members = _members(node)
    if node.flow_style:
        if index:
            end = _end(text, members[index - 1][1])
            return f"{text[:end]}, {written}{text[end:]}"
        begin = members[0][0].start_mark.index if members else node.start_mark.index + 1
        return f"{text[:begin]}{written}{', ' if members else ''}{text[begin:]}"
    if not members:
        raise _NotInPlaceError
    if index:
        end = _end(text, members[index - 1][1])
    elif parent.key is not None:
        end = parent.key.end_mark.index
    else:
        # The first member of a list item shares the line of the dash.
        raise _NotInPlaceError
    return _insert_lines(text, _line_end(text, end), lines, node.start_mark.column)


def _remove(text: str, parent: _Parent, index: int) -> str:
    members = _members(parent.node)
    begin, end = members[index][0].start_mark.index, _end(text, members[index][1])
    if parent.node.flow_style:
        if index:
            begin = _end(text, members[index - 1][1])
        elif len(members) > 1:
            end = members[1][0].start_mark.index
        return text[:begin] + text[end:]
    if len(members) == 1:
        # A block must have at least one member.
        empty = "{}" if isinstance(parent.node, yaml.MappingNode) else "[]"
        return _replace_block(text, parent, empty)
    return _remove_lines(text, _line_begin(text, begin), _line_end(text, end), parent.node.start_mark.column)


def _replace(text: str, parent: _Parent, index: int, change: Change, offset: int) -> str:
    begin, member = _members(parent.node)[index]
    value = change.value
    inner = _Parent(member, begin if isinstance(parent.node, yaml.MappingNode) else None)
    if parent.node.flow_style:
        # A number has no quotes to copy to a text; its key may have some.
        model = member if _is_text(member) else begin
        written = _like(model, value) if _is_text(model) and "," not in str(value) else writer.flow(value)
    elif isinstance(value, dict | list) and value and inner.key is not None and _is_empty(member):
        indent = parent.node.start_mark.column + (offset if isinstance(value, list) else writer.INDENT)
        return _insert_lines(text, _line_end(text, inner.key.end_mark.index), writer.block(value, offset), indent)
    elif value is None and inner.key is not None and isinstance(member, yaml.CollectionNode) and not member.flow_style:
        return _remove_lines(text, _line_begin(text, member.start_mark.index), _line_end(text, _end(text, member)), 0)
    elif isinstance(member, yaml.ScalarNode) and member.style in ("|", ">"):
        key = str(change.path[-1])
        lines = writer.entry(key, value, offset)
        more = _insert_lines(text, _line_end(text, _end(text, member)), lines, begin.start_mark.column)
        return _remove_lines(more, _line_begin(more, begin.start_mark.index), _line_end(more, _end(text, member)), 0)
    elif isinstance(member, yaml.CollectionNode) and not member.flow_style:
        return _replace_block(text, inner, writer.flow(value))
    else:
        written = _like(member, value)
    start, end = member.start_mark.index, _end(text, member)
    space = "" if start and text[start - 1].isspace() else " "
    return f"{text[:start]}{space}{written}{text[end:]}"


def _like(member: Node, value: Any) -> str:
    """Write a scalar with the quotes of another one."""
    if isinstance(value, dict | list) or not isinstance(member, yaml.ScalarNode):
        return writer.flow(value)
    if isinstance(value, str) and member.style == "'" and value.isprintable():
        return writer.single_quoted(value)
    if isinstance(value, str) and member.style == '"':
        return writer.flow(value)
    return value if isinstance(value, str) and _needs_no_quotes(value) else writer.scalar(value)


def _needs_no_quotes(text: str) -> bool:
    """Return whether a text needs no quotes, in block and in flow style."""
    if not text.isprintable() or not _FLOW_MARKS.isdisjoint(text):
        return False
    try:
        (item,) = compose(f"- {text}").value
    except (yaml.YAMLError, ValueError):
        return False
    return isinstance(item, yaml.ScalarNode) and not item.style and item.value == text and _is_text(item)


def _is_text(member: Node) -> bool:
    return isinstance(member, yaml.ScalarNode) and (bool(member.style) or isinstance(resolve(member.value), str))


def _is_empty(member: Node) -> bool:
    return isinstance(member, yaml.ScalarNode) and not member.style and not member.value


def _replace_block(text: str, parent: _Parent, written: str) -> str:
    """Replace a block that is the value of a key by text on the key's line."""
    if parent.key is None:
        raise _NotInPlaceError
    begin = _line_begin(text, parent.node.start_mark.index)
    rest = _remove_lines(text, begin, _line_end(text, _end(text, parent.node)), 0)
    colon = text.index(":", parent.key.end_mark.index) + 1
    return f"{rest[:colon]} {written}{rest[colon:]}"


def _insert_lines(text: str, end: int, lines: Iterable[str], indent: int) -> str:
    """Insert lines after the line that ends at `end`."""
    line_break = "\r\n" if "\r\n" in text else "\n"
    written = "".join(f"{line_break}{' ' * indent}{line}" if line else line_break for line in lines)
    return text[:end] + written + text[end:]


def _remove_lines(text: str, begin: int, end: int, column: int) -> str:
    """Remove lines, from the start of the first to the end of the last."""
    if begin and not text[begin:].startswith(" " * column):
        raise _NotInPlaceError
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
    """Return the end of a node's own text; a block ends with its last member."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        node = node.value[-1][1] if isinstance(node, yaml.MappingNode) else node.value[-1]
    end: int = node.end_mark.index
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        # PyYAML's end mark includes the empty lines and comments that follow.
        return node.start_mark.index + len(text[node.start_mark.index : end].rstrip())
    return end
