"""Generates the schema of the chart's values, and the table in its README, from values.yaml.

1. Every value has a comment before it that begins with its name: `# image.tag -- Meaning of the value.`
2. A value has the type of its default. An empty mapping is open; any other is closed, so that a typo is an error.
   `"additionalProperties": {}` in its annotation opens it.
3. A line `# @schema {…}` before the comment overrides the schema that follows from the default.
4. The enforcer's own schema checks `config` and `policy.rules`.
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
    """A value: its path, default and meaning, and the schema of its annotation."""

    path: tuple[str, ...]
    default: Any
    meaning: str
    shape: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The path as `--set` writes it."""
        return ".".join(self.path)

    @property
    def is_section(self) -> bool:
        """True if it contains values, instead of being one."""
        return isinstance(self.default, dict) and bool(self.default) and not self.shape.get("additionalProperties")


def read(text: str) -> list[Value]:
    """Parse values.yaml with its comments, in order; raises ValueError for a missing or wrong comment."""
    root = yaml.safe_load(text)
    values: list[Value] = []
    parents: list[tuple[int, str]] = []
    comment: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#"):
            comment.append(line.strip())
            continue
        key = _KEY.fullmatch(line)
        lines_above, comment = comment, []
        if key is None:
            continue
        while parents and parents[-1][0] >= len(key[1]):
            parents.pop()
        parents.append((len(key[1]), key[2]))
        path = tuple(name for _, name in parents)
        if any(known.path == path[: len(known.path)] and not known.is_section for known in values):
            continue  # part of a default
        value = Value(path, _member(root, path), *_comment(lines_above, ".".join(path), number))
        if not value.meaning and not value.is_section:
            raise ValueError(f"line {number}: {value.name} has no comment that begins with its name")
        values.append(value)
    return values


def _member(root: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        root = root[name]
    return root


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
    # The chart derives the upstream from other values, so nothing of it is required; rules are a separate value.
    properties = {name: node for name, node in config["properties"].items() if name != "rules"}
    definitions["PartOfUpstream"] = {key: node for key, node in definitions["Upstream"].items() if key != "required"}
    properties["upstream"] = {"$ref": "#/$defs/PartOfUpstream"}
    listener = definitions["DecisionListener"]
    definitions["DecisionPort"] = {
        **listener,
        "properties": {"port": {"type": "integer", "minimum": 1024, "maximum": 65535}}
        | {name: node for name, node in listener["properties"].items() if name != "address"},
        "required": ["port", "contract"],
    }
    definitions["Config"] = {"type": "object", "properties": properties, "additionalProperties": False}
    root: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
    for value in values:
        parent = root
        for name in value.path[:-1]:
            parent = parent["properties"][name]
        parent["properties"][value.path[-1]] = _node(value)
    return {"$schema": config["$schema"], "title": "Values of the chart", **root, "$defs": definitions}


def _undescribed(node: Any) -> Any:
    """Drop the descriptions of a schema to keep it small: Helm stores the chart in every release's record."""
    if isinstance(node, list):
        return [_undescribed(item) for item in node]
    if not isinstance(node, dict):
        return node
    # The keys of `properties` are those of the configuration; one of them may be called `title`.
    return {
        key: {name: _undescribed(inner) for name, inner in member.items()}
        if key == "properties"
        else _undescribed(member)
        for key, member in node.items()
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
    """Return the values as a Markdown table, without sections."""
    rows = (
        f"| `{value.name}` | {_code(value.default)} | {value.meaning} |" for value in values if not value.is_section
    )
    return "\n".join(("| value | default | meaning |", "| --- | --- | --- |", *rows))


def _code(default: Any) -> str:
    if default in ("", None, [], {}):
        return "–"
    return f"`{json.dumps(default) if isinstance(default, list | dict | bool) else default}`"


def derived() -> Iterator[tuple[Path, str]]:
    """Yield each file that is generated from values.yaml, and its text."""
    values = read((CHART / "values.yaml").read_text("utf-8"))
    yield CHART / "values.schema.json", json.dumps(schema(values), indent=1, ensure_ascii=False) + "\n"
    readme = CHART / "README.md"
    yield readme, _MARKS.sub(lambda match: f"{match[1]}{table(values)}\n{match[2]}", readme.read_text("utf-8"))
