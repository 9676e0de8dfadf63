"""The differences between two JSON values, as a list of changes that turn one into the other.

1. The path of a change holds after all earlier changes have been made.
2. Two list members count as the same if they have the same `name`, so that an insertion at the front is one addition.
3. An added mapping member names the key that it follows; JSON does not need that, but readers of YAML do.
4. A mapping under another key in the same place counts as moved: the differences within it are changes there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Final, Literal

MAX_COMPARED: Final = 250_000
"""Pairs of list members that are compared, which takes 0.1 s; a list with more is replaced as a whole."""

Step = str | int
Path = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One change. An added mapping member follows the key `after`, or is the first if that is None.

    The value of a `move` is the new key, in the same mapping.
    """

    op: Literal["add", "remove", "replace", "move"]
    path: Path
    value: Any = None
    after: str | None = None


class PatchError(ValueError):
    """A JSON patch that cannot be applied."""


def changes(old: Any, new: Any, path: Path = ()) -> Iterator[Change]:
    """Yield the changes that turn `old` into `new`; none if they are equal."""
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _mapping_changes(old, new, path)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _list_changes(old, new, path)
    elif old != new or type(old) is not type(new):
        yield Change("replace", path, new)


def _mapping_changes(old: dict[str, Any], new: dict[str, Any], path: Path) -> Iterator[Change]:
    moved = {key: former for former, key in zip(old, new, strict=False) if _has_moved(old, new, former, key)}
    before = None
    for key, value in new.items():
        if key in moved:
            yield Change("move", (*path, moved[key]), key)
            yield from changes(old[moved[key]], value, (*path, key))
        elif key in old:
            yield from changes(old[key], value, (*path, key))
        else:
            yield Change("add", (*path, key), value, before)
        before = key
    # Removals come last, so that the mapping is never empty in between: YAML cannot write an empty one as a block.
    for key in old:
        if key not in new and key not in moved.values():
            yield Change("remove", (*path, key))


def _has_moved(old: dict[str, Any], new: dict[str, Any], former: str, key: str) -> bool:
    return former not in new and key not in old and isinstance(old[former], dict) and isinstance(new[key], dict)


def _list_changes(old: list[Any], new: list[Any], path: Path) -> Iterator[Change]:
    if json.dumps(old) == json.dumps(new):  # a shortcut for long lists
        return
    before, after = [*map(_identity, old)], [*map(_identity, new)]
    # The matcher may take quadratic time: it gets only the members between those that are equal at both ends.
    start = _count_equal(before, after)
    end = _count_equal(before[start:][::-1], after[start:][::-1])
    before, after = before[start : len(before) - end], after[start : len(after) - end]
    if len(before) * len(after) > MAX_COMPARED:
        yield Change("replace", path, new)
        return
    for index in range(-end, 0):
        yield from _member_changes(old[index], new[index], (*path, len(old) + index))
    # Backwards, so that the indexes before a change stay valid.
    for _, begin, stop, new_begin, new_stop in reversed(SequenceMatcher(None, before, after, False).get_opcodes()):
        first, common = start + begin, min(stop - begin, new_stop - new_begin)
        for index in range(new_stop - 1, new_begin + common - 1, -1):
            yield Change("add", (*path, first + common), new[start + index])
        for index in range(stop - 1, begin + common - 1, -1):
            yield Change("remove", (*path, start + index))
        for offset in range(common):
            yield from changes(old[first + offset], new[start + new_begin + offset], (*path, first + offset))
    for index in range(start):
        yield from _member_changes(old[index], new[index], (*path, index))


def _member_changes(old: Any, new: Any, path: Path) -> Iterator[Change]:
    """Yield the changes between two members that count as the same: without a name, they are equal."""
    return changes(old, new, path) if isinstance(old, dict) and "name" in old else iter(())


def _count_equal(before: list[str], after: list[str]) -> int:
    """Return the number of equal members at the start of two lists."""
    pairs = enumerate(zip(before, after, strict=False))
    return next((index for index, (first, second) in pairs if first != second), min(len(before), len(after)))


def _identity(item: Any) -> str:
    name = item.get("name") if isinstance(item, dict) else None
    return name if isinstance(name, str) else json.dumps(item, sort_keys=True)


def as_json_patch(differences: Iterable[Change]) -> list[dict[str, Any]]:
    """Write changes as a JSON patch (RFC 6902)."""
    patch: list[dict[str, Any]] = []
    for change in differences:
        match change.op:
            case "move":
                target = (*change.path[:-1], change.value)
                patch.append({"op": "move", "from": _pointer(change.path), "path": _pointer(target)})
            case "remove":
                patch.append({"op": "remove", "path": _pointer(change.path)})
            case _:
                patch.append({"op": change.op, "path": _pointer(change.path), "value": change.value})
    return patch


def _pointer(path: Path) -> str:
    # RFC 6901 §3
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)


def patched(value: Any, patch: Iterable[Mapping[str, Any]]) -> Any:
    """Apply a JSON patch (RFC 6902, without `move` and `copy`) to a copy of a value; raises PatchError."""
    root = {"": deepcopy(value)}
    for operation in patch:
        match operation:
            case {"op": "add" | "remove" | "replace" | "test" as op, "path": str(pointer)} if _is_complete(operation):
                _apply(op, ["", *_steps(pointer)], operation, root)
            case _:
                raise PatchError('expected {"op": "add", "remove", "replace" or "test", "path": …, "value": …}')
    return root[""]


def _is_complete(operation: Mapping[str, Any]) -> bool:
    return operation["op"] == "remove" or "value" in operation


def _steps(pointer: str) -> list[str]:
    if pointer and not pointer.startswith("/"):
        raise PatchError(f'expected a path that begins with /, found "{pointer}"')
    # RFC 6901 §4: ~1 first, so that ~01 becomes ~1.
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def _apply(op: str, steps: Sequence[str], operation: Mapping[str, Any], root: Any) -> None:
    parent = root
    for step in steps[:-1]:
        parent = parent[_existing(parent, step, operation)]
    if op == "add":
        _add(parent, steps[-1], operation)
        return
    key = _existing(parent, steps[-1], operation)
    if op == "remove":
        del parent[key]
    elif op == "replace":
        parent[key] = operation["value"]
    elif parent[key] != operation["value"]:
        raise PatchError(f'"{operation["path"]}" does not have the value that the test expects')


def _existing(parent: Any, step: str, operation: Mapping[str, Any]) -> str | int:
    """Return the key or the index of a member that exists."""
    if isinstance(parent, dict) and step in parent:
        return step
    if isinstance(parent, list) and step.isdecimal() and int(step) < len(parent):
        return int(step)
    raise PatchError(f'there is nothing at "{operation["path"]}"')


def _add(parent: Any, step: str, operation: Mapping[str, Any]) -> None:
    if isinstance(parent, dict):
        parent[step] = operation["value"]
    elif isinstance(parent, list) and (step == "-" or (step.isdecimal() and int(step) <= len(parent))):
        parent.insert(len(parent) if step == "-" else int(step), operation["value"])
    else:
        raise PatchError(f'nothing can be added at "{operation["path"]}"')
