"""Kubernetes objects in a stream of documents: read as a sequence, and written back after they have changed.

Objects may be items of a list: kubectl's `List`, or the `ResourceList` of a KRM function. A new object goes into the
list that holds the object it belongs to, or else into a document of its own at the end.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from enforcer.errors import EnforcerError
from enforcer.yamltext import writer
from enforcer.yamltext.documents import Document, value_of
from enforcer.yamltext.editor import RewritingError, rewritten, with_members
from enforcer.yamltext.json_diff import as_json_patch, changes
from enforcer.yamltext.objects import Object, identity, section

_LISTS = {("v1", "List"), ("config.kubernetes.io/v1", "ResourceList"), ("config.kubernetes.io/v1beta1", "ResourceList")}


class StreamError(EnforcerError):
    """A stream that cannot be written in the requested form."""


class ChangedObjects(Protocol):
    """A stream's objects at their indexes, None if removed; and new ones, with the index of the one they belong to."""

    @property
    def objects(self) -> Sequence[Object | None]: ...
    @property
    def added(self) -> Sequence[tuple[int, Object]]: ...


class _Slot(NamedTuple):
    """The position of an object: the index of its document, and its index in each list around it."""

    document: int
    path: tuple[int, ...]


class Stream:
    """Documents, and the objects in them."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self.documents = documents
        placed = [pair for index, document in enumerate(documents) for pair in _objects(document.value, index, ())]
        self._slots = [slot for slot, _ in placed]
        self.objects: Sequence[Object] = [obj for _, obj in placed]

    def function_config(self) -> Mapping[str, Any]:
        """Return the data of a KRM function's configuration; empty if there is none."""
        config: dict[str, Any] = {}
        for document in self.documents:
            if isinstance(document.value, dict) and document.value.get("kind") == "ResourceList":
                config |= section(document.value, "functionConfig", "data")
        return config

    def is_json(self) -> bool:
        """Return whether every document is JSON."""
        return bool(self.documents) and all(document.text.lstrip().startswith("{") for document in self.documents)

    def as_yaml(self, changed: ChangedObjects) -> str:
        """Write the stream; unchanged text stays the same to the byte. Raises StreamError."""
        values, extra = self._values(changed)
        current = dict(zip(self._slots, changed.objects, strict=True))
        parts: list[str] = []
        for index, (document, value) in enumerate(zip(self.documents, values, strict=True)):
            if value is not None or document.value is None:
                parts.append(_separated(parts, self._rewritten(index, value, current)))
            elif parts and not document.text.endswith("\n"):
                # This document was added after a text without a final line break, and got one before it.
                parts[-1] = parts[-1].removesuffix("\n").removesuffix("\r")
        for obj in extra:
            text = _added(parts, obj)
            parts.append(text.replace("\n", "\r\n") if self._has_crlf() else text)
        return "".join(parts)

    def _has_crlf(self) -> bool:
        """Return whether lines end as on Windows: new ones have to end in the same way."""
        return any("\r\n" in document.text for document in self.documents)

    def _rewritten(self, index: int, value: Any, current: Mapping[_Slot, Object | None]) -> str:
        document = self.documents[index]
        text, before = document.text, document.value
        if value == before:
            return text
        try:
            if isinstance(before, dict) and _is_list(before):
                # First the objects in their places, one by one; then those that were removed or added.
                items = [_in_place(item, index, (place,), current) for place, item in enumerate(before["items"])]
                text = with_members(text, "items", before["items"], items)
                before = value_of(text, document.file, document.line)
            return rewritten(text, before, value)
        except RewritingError as error:
            raise StreamError(f"{document.file}:{document.line + error.line}: {error}, or use -o json") from None

    def as_json(self, changed: ChangedObjects) -> str:
        """Write all objects as JSON: a single object as it is, several as a `List`."""
        values, extra = self._values(changed)
        objects = [value for value in values if isinstance(value, dict)] + extra
        root = objects[0] if len(objects) == 1 else {"apiVersion": "v1", "kind": "List", "items": objects}
        return f"{json.dumps(root, indent=4, ensure_ascii=False)}\n"

    def as_patches(self, changed: ChangedObjects) -> str:
        """Write the changes of objects as patches for a kustomization, which cannot contain new objects."""
        patches = []
        for obj, current in zip(self.objects, changed.objects, strict=True):
            if current is not None and (patch := as_json_patch(changes(obj, current))):
                patches.append({"target": _target(obj), "patch": json.dumps(patch, indent=2) + "\n"})
        return writer.document({"patches": patches})

    def as_diff(self, changed: ChangedObjects) -> str:
        """Write the changes as a unified diff of the text; raises StreamError."""
        before: list[str] = []
        for document in self.documents:
            before.append(_separated(before, document.text))
        after = self.as_yaml(changed)
        return "".join(difflib.unified_diff(_lines("".join(before)), _lines(after), "before", "after"))

    def _values(self, changed: ChangedObjects) -> tuple[list[Any], list[Object]]:
        """Return the values of the documents with their changed objects, and the objects for new documents."""
        current = dict(zip(self._slots, changed.objects, strict=True))
        values: list[Any] = [_with(document.value, index, (), current) for index, document in enumerate(self.documents)]
        extra: list[Object] = []
        for index, obj in changed.added:
            slot = self._slots[index]
            if slot.path:
                values[slot.document] = _appended(values[slot.document], slot.path[:-1], obj)
            else:
                extra.append(obj)
        return values, extra


def _objects(value: Any, document: int, path: tuple[int, ...]) -> Iterator[tuple[_Slot, Object]]:
    if not isinstance(value, dict):
        return
    if _is_list(value):
        for index, item in enumerate(value["items"]):
            yield from _objects(item, document, (*path, index))
    else:
        yield _Slot(document, path), value


def _is_list(value: Object) -> bool:
    return (value.get("apiVersion"), value.get("kind")) in _LISTS and isinstance(value.get("items"), list)


def _with(value: Any, document: int, path: tuple[int, ...], current: Mapping[_Slot, Object | None]) -> Any:
    if not isinstance(value, dict) or not _is_list(value):
        return current.get(_Slot(document, path), value)
    items = [(item, _with(item, document, (*path, index), current)) for index, item in enumerate(value["items"])]
    return {**value, "items": [after for before, after in items if after is not None or before is None]}


def _in_place(value: Any, document: int, path: tuple[int, ...], current: Mapping[_Slot, Object | None]) -> Any:
    """Return a changed object; a removed one is the same as before, and so is a list in a list."""
    return current.get(_Slot(document, path)) or value


def _appended(value: Object, path: tuple[int, ...], obj: Object) -> Object:
    items = list(value["items"])
    if path:
        items[path[0]] = _appended(items[path[0]], path[1:], obj)
    else:
        items.append(obj)
    return {**value, "items": items}


def _separated(before: Sequence[str], text: str) -> str:
    """Return a document's text, with a separator if it follows another document and has none."""
    if not before:
        return text
    separated = text if text.startswith("---") else f"---\n{text}"
    return separated if before[-1].endswith("\n") else f"\n{separated}"


def _added(before: Sequence[str], obj: Object) -> str:
    """Write a new document; it ends with a line break if the text before it does."""
    text = writer.document(obj)
    if not before or before[-1].endswith("\n"):
        return f"---\n{text}"
    # A literal block at the end would lose its last line break; flow style does not.
    ends = text.removesuffix("\n")
    return f"\n---\n{ends if value_of(ends) == obj else writer.flow(obj)}"


def _target(obj: Object) -> Object:
    group, _, version = str(obj.get("apiVersion")).rpartition("/")
    name, namespace = identity(obj)
    target = {"group": group, "version": version, "kind": obj.get("kind"), "name": name, "namespace": namespace}
    return {key: value for key, value in target.items() if value}


def _lines(text: str) -> list[str]:
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n\\ No newline at end of file\n"
    return lines
