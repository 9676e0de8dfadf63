"""Reads a stream of YAML as documents: the exact text of each, and its value as Kubernetes' tools read it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from enforcer.errors import EnforcerError

Node = Any  # PyYAML's
MAX_DEPTH: Final = 200
"""Levels of nesting. Schemas of custom resources need about 60; the limit bounds the stack."""
MAX_REPEATED: Final = 10_000
"""Mappings and lists that all aliases together may expand to, so that a few lines do not become millions."""

LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEMPLATE: Final = re.compile(r"\{\{|<%|\{%")
"""Marks of Helm's and other templates."""
_SEPARATOR: Final = re.compile(r"^---(?=\s|\Z)", re.MULTILINE)

_CONSTANTS: Final[dict[str, bool | None]] = {
    **{text: True for word in ("true", "yes", "y", "on") for text in (word, word.capitalize(), word.upper())},
    **{text: False for word in ("false", "no", "n", "off") for text in (word, word.capitalize(), word.upper())},
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_INTEGER: Final = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F_]+|0[oO]?[0-7_]+|0[bB][01_]+|0|[1-9][0-9_]*)")
_NUMBER: Final = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_RESOLVED: Final = frozenset(f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null"))
"""Tags of scalars that are not texts, even between quotes."""
_OCTAL: Final = re.compile(r"([-+]?)0([0-7]+)")


class ManifestError(EnforcerError):
    """A manifest that cannot be read."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document of a stream: its file and line, its text with the separator before it, its value; None if empty."""

    file: str
    line: int
    text: str
    value: Any


def read(file: str, text: str) -> Iterator[Document]:
    """Yield the documents of a file; their texts together are the file's text. Raises ManifestError."""
    ends = [match.start() for match in _SEPARATOR.finditer(text)]
    begin = 0
    for end in [*(end for end in ends if end), len(text)]:
        part = text[begin:end]
        line = text.count("\n", 0, begin) + 1
        yield Document(file, line, part, value_of(part, file, line))
        begin = end


def value_of(text: str, file: str = "", line: int = 1) -> Any:
    """Return the value of one document, in the types of JSON; raises ManifestError."""
    try:
        return _Reader(_tags(text)).value(compose(text), 0)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{file}:{line + mark.line}:{mark.column + 1}" if mark is not None else f"{file}:{line}"
        hint = "; it looks like a template: render it first" if _TEMPLATE.search(text) else ""
        raise ManifestError(f"{place}: not YAML: {error.problem}{hint}") from None
    except yaml.YAMLError as error:
        raise ManifestError(f"{file}:{line}: not YAML: {' '.join(str(error).split())}") from None


def compose(text: str) -> Node:
    """Return the root node of one document, with positions; None if it is empty. Raises yaml.YAMLError."""
    return yaml.compose(text, Loader=LOADER)


def _tags(text: str) -> Mapping[int, str]:
    """Return the tags of scalars, such as `!!str`, by their index in the text."""
    if "!" not in text:
        return {}
    events: Iterable[Any] = yaml.parse(text, Loader=LOADER)
    scalars = [event for event in events if hasattr(event, "tag") and hasattr(event, "value")]
    return {event.start_mark.index: event.tag for event in scalars if event.tag}


class _Reader:
    """Builds the value of a node. An alias becomes a copy, so that a change in one place does not affect the other."""

    def __init__(self, tags: Mapping[int, str]) -> None:
        self._tags = tags
        self._seen: set[int] = set()
        self._repeated = 0

    def value(self, node: Node, depth: int) -> Any:
        if node is None:
            return None
        if isinstance(node, yaml.ScalarNode):
            is_plain = node.style in ("", None)
            if self._tags and (tag := self._tags.get(node.start_mark.index)) is not None:
                is_plain = tag in _RESOLVED
            return resolve(node.value) if is_plain else node.value
        if depth > MAX_DEPTH:
            raise _error(node, f"mappings and lists are nested more than {MAX_DEPTH} levels deep")
        if id(node) in self._seen:
            self._repeated += 1
            if self._repeated > MAX_REPEATED:
                raise _error(node, f"aliases expand to more than {MAX_REPEATED} mappings and lists; write them out")
        self._seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            return [self.value(member, depth + 1) for member in node.value]
        return dict(self._members(node, depth + 1))

    def _members(self, node: Node, depth: int) -> Iterator[tuple[str, Any]]:
        seen = set()
        for key, member in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _error(key, "a key must be a string")
            if key.value == "<<":
                raise _error(key, "merge keys (<<) are not supported; write the keys out")
            if key.value in seen:
                raise _error(key, f'the key "{key.value}" is duplicated')
            seen.add(key.value)
            yield key.value, self.value(member, depth)


def _error(node: Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def resolve(text: str) -> str | int | float | bool | None:
    """Return the value of a plain scalar in Kubernetes' YAML 1.1: `0644` is octal; no dates, no sexagesimal numbers."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    digits = text.replace("_", "")
    if _INTEGER.fullmatch(text):
        return int(_OCTAL.sub(r"\g<1>0o\2", digits), 0) if _OCTAL.fullmatch(digits) else int(digits, 0)
    return float(text) if _NUMBER.fullmatch(text) else text
