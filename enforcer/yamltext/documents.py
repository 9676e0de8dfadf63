"""A stream of YAML as the documents that it consists of: each one's text, to the byte, and the value that it means."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

from enforcer.errors import EnforcerError

Node = Any  # PyYAML's
MOST_DEPTH: Final = 200
"""Mappings and lists inside each other. Schemas of custom resources need some 60; bounds the stack."""
MOST_REPEATED: Final = 10_000
"""Mappings and lists that all aliases together may stand for, so that a few lines do not become millions of them."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SEPARATOR: Final = re.compile(r"^---(?=\s|\Z)", re.MULTILINE)

_CONSTANTS: Final[dict[str, bool | None]] = {
    **{text: True for word in ("true", "yes", "on") for text in (word, word.capitalize(), word.upper())},
    **{text: False for word in ("false", "no", "off") for text in (word, word.capitalize(), word.upper())},
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_INTEGER: Final = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F_]+|0[oO]?[0-7_]+|0[bB][01_]+|0|[1-9][0-9_]*)")
_NUMBER: Final = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_OCTAL: Final = re.compile(r"([-+]?)0([0-7]+)")


class ManifestError(EnforcerError):
    """A manifest that cannot be read."""


@dataclass(frozen=True, slots=True)
class Document:
    """One of a stream: where it comes from, its text with the separator before it, and its value; None if empty."""

    file: str
    line: int
    text: str
    value: Any


def read(file: str, text: str) -> Iterator[Document]:
    """Give the documents of a file, whose texts together are the file's; raises ManifestError."""
    ends = [found.start() for found in _SEPARATOR.finditer(text)]
    begin = 0
    for end in [*(end for end in ends if end), len(text)]:
        part = text[begin:end]
        line = text.count("\n", 0, begin) + 1
        yield Document(file, line, part, value_of(part, file, line))
        begin = end


def value_of(text: str, file: str = "", line: int = 1) -> Any:
    """Return what one document means, in the types of JSON; raises ManifestError."""
    try:
        return _Reading().value(compose(text), 0)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{file}:{line + mark.line}:{mark.column + 1}" if mark is not None else f"{file}:{line}"
        raise ManifestError(f"{place}: not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ManifestError(f"{file}:{line}: not YAML: {' '.join(str(error).split())}") from None


def compose(text: str) -> Node:
    """Return the nodes of one document, which know where they stand; None if there is none. Raises yaml.YAMLError."""
    return yaml.compose(text, Loader=_LOADER)


class _Reading:
    """Makes a value of nodes; an alias stands for a copy, so that what is changed in one place is not in the other."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._repeated = 0

    def value(self, node: Node, depth: int) -> Any:
        if node is None:
            return None
        if isinstance(node, yaml.ScalarNode):
            return resolve(node.value) if node.style in ("", None) else node.value
        if depth > MOST_DEPTH:
            raise _wrong(node, f"mappings and lists stand more than {MOST_DEPTH} deep in each other")
        if id(node) in self._seen:
            self._repeated += 1
            if self._repeated > MOST_REPEATED:
                raise _wrong(node, f"aliases stand for more than {MOST_REPEATED} mappings and lists; write them out")
        self._seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            return [self.value(member, depth + 1) for member in node.value]
        return dict(self._members(node, depth + 1))

    def _members(self, node: Node, depth: int) -> Iterator[tuple[str, Any]]:
        seen = set()
        for key, member in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _wrong(key, "a key is text")
            if key.value == "<<":
                raise _wrong(key, "merge keys (<<) are not read here; write the keys out")
            if key.value in seen:
                raise _wrong(key, f'the key "{key.value}" stands twice')
            seen.add(key.value)
            yield key.value, self.value(member, depth)


def _wrong(node: Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def resolve(text: str) -> str | int | float | bool | None:
    """Read it: no dates, no numbers to the base 60; `0644` is octal."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    digits = text.replace("_", "")
    if _INTEGER.fullmatch(text):
        return int(_OCTAL.sub(r"\g<1>0o\2", digits), 0) if _OCTAL.fullmatch(digits) else int(digits, 0)
    return float(text) if _NUMBER.fullmatch(text) else text
