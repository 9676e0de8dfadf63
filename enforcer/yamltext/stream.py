"""The objects of a stream of documents, and the stream again when something has become of them.

Objects may stand in a list: a `List` of kubectl's, or the `ResourceList` of a KRM function. New ones are put into the
list that holds the workload which they are for, or else into documents of their own at the end.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from enforcer.errors import EnforcerError
from enforcer.yamltext import writer
from enforcer.yamltext.documents import Document, value_of
from enforcer.yamltext.editor import RewritingError, rewritten
from enforcer.yamltext.json_diff import as_json_patch, changes
from enforcer.yamltext.objects import Object, identity, section

_LISTS = {("v1", "List"), ("config.kubernetes.io/v1", "ResourceList"), ("config.kubernetes.io/v1beta1", "ResourceList")}


class StreamError(EnforcerError):
    """A stream that cannot be written as it was asked for."""


class ChangedObjects(Protocol):
    """What a stream's objects became: each at its index, None if removed; and new ones, with the index of another."""

    @property
    def objects(self) -> Sequence[Object | None]: ...
    @property
    def added(self) -> Sequence[tuple[int, Object]]: ...


class _Slot(NamedTuple):
    """Where an object stands: the number of its document, and of the item in each list that it is in."""

    document: int
    path: tuple[int, ...]


class Stream:
    """Documents, and the objects in them."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self.documents = documents
        found = [one for at, document in enumerate(documents) for one in _objects(document.value, at, ())]
        self._slots = [slot for slot, _ in found]
        self.objects: Sequence[Object] = [thing for _, thing in found]

    def function_config(self) -> Mapping[str, Any]:
        """Return the data of a KRM function's configuration."""
        config: dict[str, Any] = {}
        for document in self.documents:
            if isinstance(document.value, dict) and document.value.get("kind") == "ResourceList":
                config |= section(document.value, "functionConfig", "data")
        return config

    def is_json(self) -> bool:
        """Tell whether all of it is JSON."""
        return bool(self.documents) and all(one.text.lstrip().startswith("{") for one in self.documents)

    def as_yaml(self, changed: ChangedObjects) -> str:
        """Write the stream; what has not changed stays as it is to the byte. Raises StreamError."""
        values, extra = self._values(changed)
        parts: list[str] = []
        for document, value in zip(self.documents, values, strict=True):
            if value is not None or document.value is None:
                parts.append(_separated(parts, self._rewritten(document, value)))
            elif parts and not document.text.endswith("\n"):
                # It had been added to what has no line break at its end.
                parts[-1] = parts[-1].removesuffix("\n")
        for thing in extra:
            parts.append(_added(parts, thing))
        return "".join(parts)

    def _rewritten(self, document: Document, value: Any) -> str:
        if value == document.value:
            return document.text
        try:
            return rewritten(document.text, document.value, value)
        except RewritingError as error:
            raise StreamError(f"{document.file}:{document.line}: {error}, or use -o json") from None

    def as_json(self, changed: ChangedObjects) -> str:
        """Write all objects as JSON: one alone as it is, else a list."""
        values, extra = self._values(changed)
        found = [value for value in values if isinstance(value, dict)] + extra
        whole = found[0] if len(found) == 1 else {"apiVersion": "v1", "kind": "List", "items": found}
        return f"{json.dumps(whole, indent=4, ensure_ascii=False)}\n"

    def as_patches(self, changed: ChangedObjects) -> str:
        """Write what has changed in objects as patches for a kustomization; new objects are none of it."""
        patches = []
        for thing, now in zip(self.objects, changed.objects, strict=True):
            if now is not None and (patch := as_json_patch(changes(thing, now))):
                patches.append({"target": _target(thing), "patch": json.dumps(patch, indent=2) + "\n"})
        return writer.document({"patches": patches})

    def as_diff(self, changed: ChangedObjects) -> str:
        """Write what changes in the text; raises StreamError."""
        before = _lines("".join(_joined([document.text for document in self.documents])))
        after = _lines(self.as_yaml(changed))
        return "".join(difflib.unified_diff(before, after, "before", "after"))

    def _values(self, changed: ChangedObjects) -> tuple[list[Any], list[Object]]:
        """Return the documents' values with what has become of their objects, and the objects for new documents."""
        now = dict(zip(self._slots, changed.objects, strict=True))
        values: list[Any] = [_with(document.value, at, (), now) for at, document in enumerate(self.documents)]
        extra: list[Object] = []
        for at, thing in changed.added:
            slot = self._slots[at]
            if slot.path:
                values[slot.document] = _appended(values[slot.document], slot.path[:-1], thing)
            else:
                extra.append(thing)
        return values, extra


def _objects(value: Any, document: int, path: tuple[int, ...]) -> Iterator[tuple[_Slot, Object]]:
    if not isinstance(value, dict):
        return
    if _is_list(value):
        for at, item in enumerate(value["items"]):
            yield from _objects(item, document, (*path, at))
    else:
        yield _Slot(document, path), value


def _is_list(value: Object) -> bool:
    return (value.get("apiVersion"), value.get("kind")) in _LISTS and isinstance(value.get("items"), list)


def _with(value: Any, document: int, path: tuple[int, ...], now: Mapping[_Slot, Object | None]) -> Any:
    if not isinstance(value, dict) or not _is_list(value):
        return now.get(_Slot(document, path), value)
    items = [(item, _with(item, document, (*path, at), now)) for at, item in enumerate(value["items"])]
    return {**value, "items": [after for before, after in items if after is not None or before is None]}


def _appended(value: Object, path: tuple[int, ...], thing: Object) -> Object:
    items = list(value["items"])
    if path:
        items[path[0]] = _appended(items[path[0]], path[1:], thing)
    else:
        items.append(thing)
    return {**value, "items": items}


def _separated(before: Sequence[str], text: str) -> str:
    """Return a document's text with a separator where it comes after another and has none."""
    if not before:
        return text
    separated = text if text.startswith("---") else f"---\n{text}"
    return separated if before[-1].endswith("\n") else f"\n{separated}"


def _added(before: Sequence[str], thing: Object) -> str:
    """Write a new document, which ends with a line break where what is before it does."""
    text = writer.document(thing)
    if not before or before[-1].endswith("\n"):
        return f"---\n{text}"
    # A literal block would lose its own last line break.
    ends = text.removesuffix("\n")
    return f"\n---\n{ends if value_of(ends) == thing else writer.flow(thing)}"


def _joined(texts: Sequence[str]) -> list[str]:
    parts: list[str] = []
    for text in texts:
        parts.append(_separated(parts, text))
    return parts


def _target(thing: Object) -> Object:
    group, _, version = str(thing.get("apiVersion")).rpartition("/")
    name, namespace = identity(thing)
    target = {"group": group, "version": version, "kind": thing.get("kind"), "name": name, "namespace": namespace}
    return {key: value for key, value in target.items() if value}


def _lines(text: str) -> list[str]:
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n\\ No newline at end of file\n"
    return lines
