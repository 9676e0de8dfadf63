"""Edits the text of a YAML document in place, so that everything that does not change stays the same to the byte.

1. An addition starts on the line after the member that it follows; a removal takes whole lines. So a removal is the
   exact inverse of an addition, comments and line ends included.
2. In flow style, JSON included, the same holds for the text between two commas.
3. A replaced scalar keeps the quotes of the former one (in flow style a number takes those of its key), and lists are
   indented like the other lists of the document.
4. The result is parsed again. If its value is not the wanted one, RewritingError is raised and nothing is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import yaml

from enforcer.errors import EnforcerError
from enforcer.yamltext import aliases, writer
from enforcer.yamltext.aliases import Alias, tree
from enforcer.yamltext.documents import LOADER, ManifestError, Node, compose, resolve, value_of
from enforcer.yamltext.json_diff import Change, Path, changes


class RewritingError(EnforcerError):
    """A document whose form does not allow a change in place; `line` is its first with an anchor, from 0."""

    def __init__(self, detail: str, line: int) -> None:
        super().__init__(detail)
        self.line = line


def rewritten(text: str, old: Any, new: Any) -> str:
    """Return the text of a document with the value `old`, edited to have the value `new`; raises RewritingError."""
    try:
        result = _edited(text, old, new, _offset(tree(text)))
        value = value_of(result)
    except (yaml.YAMLError, ManifestError, _NotInPlaceError):
        value = None
    if value != new:
        detail = "is written in a way that cannot be changed in place: write out anchors and aliases"
        raise RewritingError(detail, _anchor_line(text))
    return result


def _anchor_line(text: str) -> int:
    events: Iterable[Any] = yaml.parse(text, Loader=LOADER)
    return next((event.start_mark.line for event in events if getattr(event, "anchor", None)), 0)


def with_members(text: str, key: str, old: Sequence[Any], new: Sequence[Any]) -> str:
    """Return the text of a document in which members of the block list at a key are edited, each by itself.

    The whole document is parsed once, not for every change, so that the time is linear. If the form of the document
    does not allow it, members stay as they are; `rewritten` changes them, or says why not.
    """
    root = tree(text)
    members = next((value for name, value in root.value if name.value == key), None)
    if root.flow_style or not isinstance(members, yaml.SequenceNode) or members.flow_style:
        return text
    offset = _offset(root)
    for node, before, after in reversed(list(zip(members.value, old, new, strict=True))):
        if before != after and not node.flow_style:
            text = _with_member(text, node, before, after, offset)
    return text


def _with_member(text: str, node: Node, old: Any, new: Any, offset: int) -> str:
    begin, end = node.start_mark.index, _line_end(text, _end(text, node))
    # In place of the dash there are blanks: so the member is a document of its own, with the same columns.
    blank = " " * node.start_mark.column
    try:
        edited = _edited(blank + text[begin:end], old, new, offset)
        value = value_of(edited)
    except (yaml.YAMLError, ManifestError, _NotInPlaceError):
        return text
    if value != new or not edited.startswith(blank):
        return text
    return text[:begin] + edited.removeprefix(blank) + text[end:]


def _edited(text: str, old: Any, new: Any, offset: int) -> str:
    sequence = list(changes(old, new))
    text = aliases.written_out(text, new, sequence, offset)
    for batch in _batches(sequence):
        text = _apply(text, batch, offset)
    return aliases.restored(text, old)


def _batches(sequence: Iterable[Change]) -> Iterator[list[Change]]:
    """Yield changes, those together that need the document to be parsed only once.

    These are additions at one place of a list, and removals from one list, from the end to the start.
    """
    batch: list[Change] = []
    for change in sequence:
        if batch and not _continues(batch[-1], change):
            yield batch
            batch = []
        batch.append(change)
    if batch:
        yield batch


def _continues(former: Change, change: Change) -> bool:
    if former.op != change.op or former.path[:-1] != change.path[:-1]:
        return False
    index, last = change.path[-1], former.path[-1]
    if not isinstance(index, int) or not isinstance(last, int):
        return False
    return index == last if change.op == "add" else change.op == "remove" and index < last


_ANCHOR: Final = re.compile(r"&[^\s,\[\]{}]+[ \t]+")
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
                    return _column(member) - int(key.start_mark.column)
                queue.append(member)
        elif isinstance(parent, yaml.SequenceNode):
            queue.extend(parent.value)
    return writer.INDENT


def _apply(text: str, batch: Sequence[Change], offset: int) -> str:
    change = batch[0]
    root = tree(text)
    if _is_alias(root, change.path if change.op == "replace" else change.path[:-1]):
        # The change of the anchor is enough.
        return text
    parent = _find(root, change.path[:-1])
    if change.op == "add":
        return _add(text, parent, batch, offset)
    index = _position(parent.node, change.path[-1])
    if change.op == "remove" and parent.node.flow_style and len(batch) > 1:
        # The rest of the first removal moves the members behind it.
        return _apply(_apply(text, batch[:1], offset), batch[1:], offset)
    if change.op == "remove":
        return _remove(text, parent, [_position(parent.node, each.path[-1]) for each in batch])
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


def _is_alias(node: Node, path: Path) -> bool:
    """Return whether an alias is at a path, or above it."""
    for step in path:
        if isinstance(node, Alias):
            return True
        member = node.value[_position(node, step)]
        node = member[1] if isinstance(node, yaml.MappingNode) else member
    return isinstance(node, Alias)


def _position(node: Node, step: str | int) -> int:
    if isinstance(step, int):
        return step
    return next(index for index, (key, _) in enumerate(node.value) if key.value == step)


def _members(node: Node) -> list[tuple[Node, Node]]:
    """Return the first and the last node of each member: a mapping's key and value, or a list's item twice."""
    return list(node.value) if isinstance(node, yaml.MappingNode) else [(item, item) for item in node.value]


def _add(text: str, parent: _Parent, batch: Sequence[Change], offset: int) -> str:
    change = batch[0]
    node, name = parent.node, change.path[-1]
    lines: Iterable[str]
    if isinstance(name, int):
        index = name
        # The last addition at a place comes first.
        values = [each.value for each in reversed(batch)]
        lines = [line for value in values for line in writer.item(value, offset)]
        written = ", ".join(map(writer.flow, values))
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
    return _insert_lines(text, _line_end(text, end), lines, _column(node))


def _remove(text: str, parent: _Parent, indexes: Sequence[int]) -> str:
    """Remove members, the last one first."""
    members = _members(parent.node)
    if parent.node.flow_style:
        return _remove_flow(text, members, indexes[0])
    if len(members) == len(indexes):
        # A block must have at least one member.
        empty = "{}" if isinstance(parent.node, yaml.MappingNode) else "[]"
        return _replace_block(text, parent, empty)
    for index in indexes:
        begin, end = members[index][0].start_mark.index, _end(text, members[index][1])
        text = _remove_lines(text, _line_begin(text, begin), _line_end(text, end), _column(parent.node))
    return text


def _remove_flow(text: str, members: Sequence[tuple[Node, Node]], index: int) -> str:
    begin, end = members[index][0].start_mark.index, _end(text, members[index][1])
    if index:
        begin = _end(text, members[index - 1][1])
    elif len(members) > 1:
        end = members[1][0].start_mark.index
    return text[:begin] + text[end:]


def _replace(text: str, parent: _Parent, index: int, change: Change, offset: int) -> str:
    begin, member = _members(parent.node)[index]
    value = change.value
    inner = _Parent(member, begin if isinstance(parent.node, yaml.MappingNode) else None)
    if parent.node.flow_style:
        # A number has no quotes to copy to a text; its key may have some.
        model = member if _is_text(member) else begin
        written = _like(model, value) if _is_text(model) and "," not in str(value) else writer.flow(value)
    elif isinstance(value, dict | list) and value and inner.key is not None and _is_empty(member):
        indent = _column(parent.node) + (offset if isinstance(value, list) else writer.INDENT)
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
    start, end = _start(text, member), _end(text, member)
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


def _column(node: Node) -> int:
    """Return the column of a block's members; an anchor is on the line before them."""
    if not node.value or node.flow_style:
        return int(node.start_mark.column)
    if isinstance(node, yaml.MappingNode):
        return int(node.value[0][0].start_mark.column)
    first = node.value[0].start_mark
    return int(node.start_mark.column if first.line == node.start_mark.line else first.column - 2)


def _line_begin(text: str, index: int) -> int:
    return text.rfind("\n", 0, index) + 1


def _line_end(text: str, index: int) -> int:
    end = text.find("\n", index)
    if end < 0:
        return len(text)
    return end - 1 if text[end - 1 : end] == "\r" else end


def _start(text: str, node: Node) -> int:
    """Return the start of a node's own text, after its anchor, to which aliases refer."""
    match = _ANCHOR.match(text, node.start_mark.index)
    return node.start_mark.index if match is None else match.end()


def _end(text: str, node: Node) -> int:
    """Return the end of a node's own text; a block ends with its last member."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        node = node.value[-1][1] if isinstance(node, yaml.MappingNode) else node.value[-1]
    end: int = node.end_mark.index
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        # PyYAML's end mark includes the empty lines and comments that follow.
        return node.start_mark.index + len(text[node.start_mark.index : end].rstrip())
    return end
