"""Makes JSON documents: seeds with members that are changed, removed, repeated, or of another type."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import yaml
from fuzz.mutation import Mutator

_SEEDS = yaml.safe_load((Path(__file__).parent / "documents.yaml").read_text())
_VALUES: list[Any] = _SEEDS["values"]
_MAX_SIZE = 16_384  # bytes of a document; larger ones find nothing new
KINDS: tuple[str, ...] = tuple(_SEEDS["documents"])
"""The kinds of documents."""


class DocumentMutator:
    """Makes documents of one kind; deterministic for a given `random`."""

    def __init__(self, kind: str, random: Random) -> None:
        self._seeds: list[Any] = _SEEDS["documents"][kind]
        self._names: list[str] = sorted({name for seed in self._seeds for name in _names(seed)})
        self._random = random
        self._bytes = Mutator([json.dumps(seed).encode() for seed in self._seeds], random)
        self._changes: Sequence[Callable[[Any], Any]] = (self._replace, self._remove, self._add, self._swap, self._wrap)

    def next(self) -> bytes:
        """Return the next document: mostly valid JSON, sometimes with a member twice, or with any bytes changed."""
        if self._random.random() < 0.1:
            return self._bytes.next()
        document = _copy(self._random.choice(self._seeds))
        for _ in range(self._random.choice((0, 1, 1, 1, 2, 2, 3, 5))):
            # A copy, because a change may put the same object at two places.
            document = _copy(self._random.choice(self._changes)(document))
        text = json.dumps(document, ensure_ascii=self._random.random() < 0.8)
        if self._random.random() < 0.05 and text.startswith("{") and len(text) > 2:
            name = self._random.choice(self._names)
            text = f"{text[:-1]}, {json.dumps(name)}: {json.dumps(self._random.choice(_VALUES))}}}"
        return text.encode("utf-8", "surrogatepass")[:_MAX_SIZE]

    def pieces(self, data: bytes) -> list[bytes]:
        """Return the document: it is always read whole."""
        return [data]

    def _containers(self, document: Any) -> list[Any]:
        if not isinstance(document, dict | list):
            return []
        inner = document.values() if isinstance(document, dict) else document
        return [document, *(container for member in inner for container in self._containers(member))]

    def _replace(self, document: Any) -> Any:
        container, key = self._member(document)
        if container is None:
            return self._random.choice(_VALUES)
        container[key] = self._random.choice((*_VALUES, container[key], str(container[key])))
        return document

    def _remove(self, document: Any) -> Any:
        container, key = self._member(document)
        if container is not None:
            del container[key]
        return document

    def _add(self, document: Any) -> Any:
        containers = self._containers(document)
        if containers:
            container = self._random.choice(containers)
            value = self._random.choice((*_VALUES, *self._seeds))
            if isinstance(container, dict):
                container[self._random.choice(self._names)] = value
            else:
                container.insert(self._random.randrange(len(container) + 1), value)
        return document

    def _swap(self, document: Any) -> Any:
        (first, one), (second, other) = self._member(document), self._member(document)
        if first is not None and second is not None:
            second[other] = _copy(first[one])
        return document

    def _wrap(self, document: Any) -> Any:
        container, key = self._member(document)
        if container is not None:
            container[key] = [container[key]] * self._random.choice((1, 1, 2, 40))
        return document

    def _member(self, document: Any) -> tuple[Any, Any]:
        """Return a container within the document and a key of it, or twice None if there is no member."""
        containers = [container for container in self._containers(document) if container]
        if not containers:
            return None, None
        container = self._random.choice(containers)
        keys = [*container] if isinstance(container, dict) else range(len(container))
        return container, self._random.choice(keys)


def _copy(document: Any) -> Any:
    return json.loads(json.dumps(document))


def _names(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(name for member in value.values() for name in _names(member))]
    return [name for member in value for name in _names(member)] if isinstance(value, list) else []
