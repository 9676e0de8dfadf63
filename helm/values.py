"""Makes the schema of a chart's values, and the table of its README, from values.yaml.

1. Every value has a comment before it that begins with its name: `# image.tag -- What it is for.`
2. Its type is that of its default. An empty mapping is open; any other is closed, so that a typo is an error.
3. A line `# @schema {…}` before the comment says more: it is merged over what the default tells.
4. What stands under `config` and `policy.rules` is checked by the enforcer's own schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from enforcer.config.schema import schema as configuration_schema

CHART = Path(__file__).parent / "enforcer"
_KEY = re.compile(r"( *)([\w-]+):(?: .*)?")
_MARKS = re.compile(r"(<!-- values -->\n).*(<!-- /values -->)", re.DOTALL)


@dataclass(frozen=True)
class Value:
    """One value: its place, its default, what it is for, and what its annotation says of its shape."""

    path: tuple[str, ...]
    default: Any
    meaning: str
    shape: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The place as `--set` writes it."""
        return ".".join(self.path)

    @property
    def is_section(self) -> bool:
        """Whether it holds values of its own, instead of being one."""
        return isinstance(self.default, dict) and bool(self.default) and not self.shape.get("additionalProperties")


def read(text: str) -> list[Value]:
    """Read values.yaml with its comments, in its order; raises ValueError where one is missing or wrong."""
    whole = yaml.safe_load(text)
    found: list[Value] = []
    place: list[tuple[int, str]] = []
    comment: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#"):
            comment.append(line.strip())
            continue
        key = _KEY.fullmatch(line)
        above, comment = comment, []
        if key is None:
            continue
        while place and place[-1][0] >= len(key[1]):
            place.pop()
        place.append((len(key[1]), key[2]))
        path = tuple(name for _, name in place)
        if any(known.path == path[: len(known.path)] and not known.is_section for known in found):
            continue  # a part of a default
        value = Value(path, _at(whole, path), *_comment(above, ".".join(path), number))
        if not value.meaning and not value.is_section:
            raise ValueError(f"line {number}: {value.name} has no comment that begins with its name")
        found.append(value)
    return found


def _at(whole: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        whole = whole[name]
    return whole


def _comment(lines: list[str], name: str, number: int) -> tuple[str, Mapping[str, Any]]:
    shape: dict[str, Any] = {}
    words: list[str] = []
    for line in lines:
        text = line.removeprefix("#").strip()
        if text.startswith("@schema "):
            shape |= json.loads(text.removeprefix("@schema "))
        elif " -- " in text or words:
            words.append(text)
    meaning = " ".join(words)
    if meaning and not meaning.startswith(f"{name} -- "):
        raise ValueError(f"line {number}: the comment on {name} begins with another name")
    return meaning.removeprefix(f"{name} -- "), shape


def schema(values: list[Value]) -> dict[str, Any]:
    """Return the JSON schema of the values."""
    config = _undescribed(configuration_schema())
    definitions = config["$defs"]
    # What the chart derives from other values need not stand there, and rules have a value of their own.
    properties = {name: node for name, node in config["properties"].items() if name != "rules"}
    definitions["PartOfUpstream"] = {key: node for key, node in definitions["Upstream"].items() if key != "required"}
    properties["upstream"] = {"$ref": "#/$defs/PartOfUpstream"}
    definitions["Config"] = {"type": "object", "properties": properties, "additionalProperties": False}
    root: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
    for value in values:
        parent = root
        for name in value.path[:-1]:
            parent = parent["properties"][name]
        parent["properties"][value.path[-1]] = _node(value)
    return {"$schema": config["$schema"], "title": "Values of the chart", **root, "$defs": definitions}


def _undescribed(node: Any) -> Any:
    """Drop the words of a schema: `enforcer schema` has them, and Helm keeps the chart in every release's record."""
    if isinstance(node, list):
        return [_undescribed(item) for item in node]
    if not isinstance(node, dict):
        return node
    # `properties` has keys of the configuration, among which a `title` would be one like others.
    return {
        key: {name: _undescribed(inner) for name, inner in found.items()}
        if key == "properties"
        else _undescribed(found)
        for key, found in node.items()
        if key not in ("description", "title")
    }


def _node(value: Value) -> dict[str, Any]:
    described = {"description": value.meaning} if value.meaning else {}
    if "$ref" in value.shape:
        return {**described, **value.shape}
    if value.is_section:
        return {"type": "object", **described, "properties": {}, "additionalProperties": False, **value.shape}
    kinds = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
    kind = {"type": kinds[type(value.default)]} if type(value.default) in kinds else {}
    return {**described, **kind, "default": value.default, **value.shape}


def table(values: list[Value]) -> str:
    """Return the values as a Markdown table; sections are not in it."""
    rows = (
        f"| `{value.name}` | {_code(value.default)} | {value.meaning} |" for value in values if not value.is_section
    )
    return "\n".join(("| value | default | meaning |", "| --- | --- | --- |", *rows))


def _code(default: Any) -> str:
    if default in ("", None, [], {}):
        return "–"
    return f"`{json.dumps(default) if isinstance(default, list | dict | bool) else default}`"


def derived() -> Iterator[tuple[Path, str]]:
    """Give each file that is made from values.yaml, and its text."""
    values = read((CHART / "values.yaml").read_text("utf-8"))
    yield CHART / "values.schema.json", json.dumps(schema(values), indent=1, ensure_ascii=False) + "\n"
    readme = CHART / "README.md"
    yield readme, _MARKS.sub(lambda found: f"{found[1]}{table(values)}\n{found[2]}", readme.read_text("utf-8"))
