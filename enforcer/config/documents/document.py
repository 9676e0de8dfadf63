"""Parses YAML into plain values that know their positions.

1. A subset of YAML: one document, a mapping at the top, text as keys, no merge keys, no tags that make objects.
2. `true` and `false` are the only booleans, because `on` may be a scope. No dates, octal or base-60 numbers.
3. An error in one value does not hide an error in the next; only a syntax error, or too many errors, end the parsing.
4. Depth, number of values and number of errors are bounded before anything is built from them, so that no file takes
   the memory that the configuration in force needs, even if it is not a configuration at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from enforcer.errors import MAX_PROBLEMS, ConfigError, Problem

Step = str | int
Mark = Any  # one of two classes of PyYAML; both have `line` and `column`, from 0

MAX_DEPTH: Final = 32
"""Maximum nesting of mappings and lists; the configuration itself needs 6. Bounds the stack."""
MAX_VALUES: Final = 200_000
"""Maximum number of values of a configuration, all its files together: about 20,000 rules. While it is read, a value
with its errors takes about 500 bytes, so that a reload needs 100 MB at most. Bounds memory and reload time."""
MAX_ALIASED: Final = 10_000
"""Maximum number of values that all aliases together stand for, so that a few lines never become millions of values."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAGS = {
    ScalarEvent: "tag:yaml.org,2002:str",
    MappingStartEvent: "tag:yaml.org,2002:map",
    SequenceStartEvent: "tag:yaml.org,2002:seq",
}
_CONSTANTS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,99})")
_NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,99})(?:\.[0-9]{1,99})?(?:[eE][-+]?[0-9]{1,3})?")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # YAML 1.2 §5.1
_CHUNK = 65536  # characters searched at once
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")

NOWHERE: Mark = yaml.Mark("", 0, -1, -1, None, 0)
"""The position of a value that comes from no file: reported as line 0, column 0."""


class Broken:
    """A placeholder for a value that could not be parsed; its problem is recorded already."""


BROKEN: Final = Broken()


class Table(dict[str, Any]):
    """A mapping in the file. `marks` are the positions of each key and its value."""

    __slots__ = ("marks",)

    def __init__(self) -> None:
        self.marks: dict[str, tuple[Mark, Mark]] = {}

    def copy(self) -> Table:
        """Return a copy of the mapping itself; its values are shared."""
        table = Table()
        table.update(self)
        table.marks.update(self.marks)
        return table


class Items(list[Any]):
    """A list in the file. `marks` are the positions of the items."""

    __slots__ = ("marks",)

    def __init__(self) -> None:
        self.marks: list[Mark] = []

    def copy(self) -> Items:
        """Return a copy of the list itself; its items are shared."""
        items = Items()
        items += self
        items.marks += self.marks
        return items


@dataclass(frozen=True, slots=True)
class Document:
    """The values of a file, their number, and its YAML errors."""

    file: str
    values: Table
    problems: tuple[Problem, ...]
    count: int = 0

    def where(self, path: Sequence[Step]) -> tuple[str, int, int]:
        """Return the position of a value: file, line and column."""
        return self.file, *self.place(path)

    def problem(self, path: Sequence[Step], message: str, *, key: Step | None = None) -> Problem:
        line, column = self.place(path) if key is None else self.place((*path, key), of_key=True)
        return _problem(self.file, line, column, path, message)

    def place(self, path: Sequence[Step], *, of_key: bool = False) -> tuple[int, int]:
        """Return line and column of a value; of its key if `of_key` is set or the value is a mapping or list."""
        value: Any = self.values
        line = column = 0
        for step in path:
            marks = value.marks[step]
            value = value[step]
            if isinstance(marks, tuple):
                marks = marks[0] if of_key or isinstance(value, Table | Items) else marks[1]
            line, column = marks.line, marks.column
            if marks is NOWHERE:
                break  # an override: the positions within its value are those in the command line's text
        return line + 1, column + 1


def parse(file: str, data: bytes, max_values: int = MAX_VALUES) -> Document:
    """Parse the bytes of a file; raises ConfigError if they are not a YAML mapping of at most `max_values` values."""
    text = _decode(file, data)
    parser = _Parser(file, text, max_values)
    try:
        values = parser.parse()
    except yaml.MarkedYAMLError as error:
        parser.note(error.problem_mark, (), _describe(error, text))
        raise ConfigError(parser.problems) from None
    if not isinstance(values, Table):
        raise ConfigError(parser.problems)
    return Document(file, values, tuple(parser.problems), parser.count)


def dotted(path: Sequence[Step]) -> str:
    """Return a path as `rules[2].scopes`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{_key(step)}" for step in path).removeprefix(".")


def show(value: object) -> str:
    """Return a value for a message: a scalar itself, shortened if long; of any other value only its type."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else f"{text[:98]}…{text[-1]}"


class _Parser:
    """Builds values from the YAML events of one text."""

    def __init__(self, file: str, text: str, max_values: int) -> None:
        self.problems: list[Problem] = []
        self.count = 0
        self._max_values = max_values
        self._file = file
        self._next = _LOADER(text).get_event
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._repeated = 0

    def parse(self) -> Any:
        """Return the document's value; if it is not a Table, a problem is recorded."""
        self._next()
        if isinstance(start := self._next(), StreamEndEvent):
            return self.note(start.start_mark, (), "the file is empty")
        event = self._next()
        value = self._value(event, (), None)
        self._next()
        if isinstance(second := self._next(), DocumentStartEvent):
            self.note(second.start_mark, (), "a second document begins here, but only one is allowed")
        if value is None:
            self.note(event.start_mark, (), "the file is empty")
        elif not isinstance(value, Table | Broken):
            self.note(event.start_mark, (), f"expected a mapping at the top, found {show(value)}")
        return value

    def note(self, mark: Mark, path: Sequence[Step], message: str) -> Broken:
        """Record a problem, and return the placeholder for its value."""
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
        self.problems.append(_problem(self._file, line, column, path, message))
        if len(self.problems) > MAX_PROBLEMS:
            raise ConfigError(self.problems)
        return BROKEN

    def _value(self, event: Any, parent: tuple[Step, ...], step: Step | None) -> Any:
        kind = type(event)
        if kind is ScalarEvent and event.tag is None and event.anchor is None:
            return _scalar(event)
        path = parent if step is None else (*parent, step)
        if kind is AliasEvent:
            return self._alias(event, path)
        if len(path) > MAX_DEPTH:
            self.note(event.start_mark, (), f"mappings and lists are nested more than {MAX_DEPTH} deep")
            raise ConfigError(self.problems)
        before = self.count
        self.count += 1
        value: Any
        if kind is MappingStartEvent:
            value = self._table(path)
        elif kind is SequenceStartEvent:
            value = self._items(path)
        else:
            value = _scalar(event)
        if event.tag not in (None, _TAGS[kind]):
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            value = self.note(event.start_mark, path, f"the tag {show(tag)} is not supported; remove it")
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self.count - before)
        return value

    def _table(self, path: tuple[Step, ...]) -> Table:
        table = Table()
        marks = table.marks
        while type(event := self._next()) is not MappingEndEvent:
            self._add(event)
            key = self._value(event, path, "?")
            is_text = isinstance(key, str)
            value_event = self._next()
            value = self._value(value_event, path, key if is_text else "?")
            if not is_text:
                if key is not BROKEN:
                    self.note(event.start_mark, path, f"expected text as a key, found {show(key)}; quotes make it text")
            elif key == "<<":
                self.note(event.start_mark, path, "merge keys (<<) are not supported; write the keys out")
            elif key in table:
                line, column = marks[key][0].line + 1, marks[key][0].column + 1
                first = f"{self._file}:{line}:{column}"
                self.note(event.start_mark, path, f"duplicate key {show(key)}; first used at {first}")
            else:
                table[key] = value
                marks[key] = (event.start_mark, value_event.start_mark)
        return table

    def _items(self, path: tuple[Step, ...]) -> Items:
        items = Items()
        while type(event := self._next()) is not SequenceEndEvent:
            self._add(event)
            items.append(self._value(event, path, len(items)))
            items.marks.append(event.start_mark)
        return items

    def _add(self, event: Any, number: int = 1) -> None:
        self.count += number
        if self.count > self._max_values:
            self.note(
                event.start_mark, (), f"a configuration has at most {MAX_VALUES} values, in all its files together"
            )
            raise ConfigError(self.problems)

    def _alias(self, event: Any, path: tuple[Step, ...]) -> Any:
        name = event.anchor
        # An anchor becomes known after its value, so that no value contains itself.
        if name not in self._anchors:
            return self.note(event.start_mark, path, f"the alias *{name} has no anchor &{name} before it")
        value, size = self._anchors[name]
        if self._repeated <= MAX_ALIASED < self._repeated + size:
            self.note(event.start_mark, path, f"the aliases stand for more than {MAX_ALIASED} values; write them out")
        self._repeated += size
        self._add(event, size)
        return value if self._repeated <= MAX_ALIASED else BROKEN


def _scalar(event: Any) -> Any:
    text = event.value
    if not event.implicit[0]:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] in "-+0123456789":
        if _INTEGER.fullmatch(text):
            return int(text)
        if _NUMBER.fullmatch(text):
            return float(text)
    return text


def _decode(file: str, data: bytes) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        problem = f"the byte 0x{data[error.start]:02X} is not UTF-8"
    else:
        # In chunks, because a search holds the interpreter lock until it ends: 3 ms for a megabyte, during a reload.
        starts = range(0, len(text), _CHUNK)
        match = next(filter(None, (_UNPRINTABLE.search(text, start, start + _CHUNK) for start in starts)), None)
        if match is None:
            return text.removeprefix("\ufeff")
        before = text[: match.start()]
        problem = f"the character U+{ord(match[0]):04X} is not allowed in YAML"
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    raise ConfigError([_problem(file, line, column, (), problem)])


def _describe(error: yaml.MarkedYAMLError, text: str) -> str:
    mark = error.problem_mark
    if mark is not None and [line[mark.column :][:1] for line in text.splitlines()[mark.line :][:1]] == ["\t"]:
        return "YAML does not allow tabs for indentation; use spaces"
    start = error.context_mark
    context = f" ({error.context} that begins in line {start.line + 1})" if start is not None else ""
    return f"not YAML: {error.problem}{context}"


def _problem(file: str, line: int, column: int, path: Sequence[Step], message: str) -> Problem:
    # Escape what a key or name contains, so that a problem is one line and never controls a terminal.
    clean = (
        "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
        for text in (dotted(path), message)
    )
    return Problem(file, line, column, *clean)


def _key(step: str) -> str:
    return step if _PLAIN_KEY.fullmatch(step) else json.dumps(step, ensure_ascii=False)
