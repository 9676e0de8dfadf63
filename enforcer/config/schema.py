"""The JSON schema of a configuration, and lookups in it: keys, types and descriptions at a path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from enforcer.config.model import ADAPTER, RULE_FILE_ADAPTER
from enforcer.policy.rules import Conditions, Rule, RuleDefaults
from enforcer.settings.connections.pool import IntrospectionPool, PoolSettings

Node = Mapping[str, Any]

_WORDS: Final = {
    "string": "text",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
}
_DURATIONS: Final = (("h", 3600.0), ("m", 60.0), ("s", 1.0))
_SIZES: Final = (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024))


def schema(adapter: TypeAdapter[Any] = ADAPTER) -> dict[str, Any]:
    """Return the JSON schema with which editors complete and check a file: a configuration, or what `adapter` reads."""
    generated = adapter.json_schema(schema_generator=_Generator)
    definitions = generated["$defs"]
    # pydantic reads the docstring of a field in the class that declares it, not in the classes that inherit it.
    for base, derived in _DERIVED:
        if derived.__name__ not in definitions:
            continue
        inherited = definitions[base.__name__]["properties"]
        own = definitions[derived.__name__]["properties"]
        own.update({key: {**inherited.get(key, {}), **node} for key, node in own.items()})
    for name in ("Conditions", "RuleDefaults", "Rule"):
        properties = definitions.get(name, {}).get("properties", {})
        for key in CHOICES:
            if "default" in properties.get(key, {}):
                properties[key]["default"] = None  # not the empty list, which is not valid
    # Over defaults, null takes a member away; before the rule is validated, it is gone.
    for name in _OVER_DEFAULTS if adapter is RULE_FILE_ADAPTER else _OVER_DEFAULTS[:1]:
        for key in MERGED if name in definitions else ():
            definitions[name]["properties"][key]["additionalProperties"]["anyOf"].append({"type": "null"})
    if "Rule" in definitions:
        definitions["Rule"]["oneOf"] = [{"required": ["path"]}, {"required": ["paths"]}]
    return {"$schema": GenerateJsonSchema.schema_dialect, **generated}


_DERIVED: Final = ((PoolSettings, IntrospectionPool), (Conditions, RuleDefaults), (RuleDefaults, Rule))
"""Classes of settings and those that inherit theirs."""


MERGED: Final = ("claims", "query", "headers")
"""Keys of a rule that are merged by name with those of the defaults."""
CHOICES: Final = ("methods", "any_scope", "audience", "issuer", "client_ids", "acr", "addresses", "any_of")
"""Keys of rules with a list of which one value must match: an empty one reads as nobody, but would be no condition."""
_OVER_DEFAULTS: Final = ("Rule", "RuleDefaults")
"""Rules, and the defaults of a rule file, which override those of the configuration."""


class Shape:
    """Lookups in a JSON schema."""

    def __init__(self, root: Node) -> None:
        self._root = root

    def keys(self, path: Sequence[str | int]) -> Mapping[str, Node]:
        """Return the keys of the mapping at a path."""
        return {key: inner for node in self._nodes(path) for key, inner in node.get("properties", {}).items()}

    def meaning(self, path: Sequence[str | int]) -> str:
        """Return the first sentence of the description of the key at a path."""
        return self.description(self.keys(path[:-1])[str(path[-1])]).partition(". ")[0].removesuffix(".")

    def description(self, node: Node) -> str:
        """Return a node's description, on one line."""
        # If a key has the same description as its class, pydantic keeps only that of the class.
        texts = [described.get("description", "") for described in (node, *self.alternatives(node))]
        return " ".join(next(filter(None, texts), "").split())

    def expected(self, path: Sequence[str | int]) -> str:
        """Return in words which values are valid at a path."""
        words = [word for node in self._nodes(path) for word in node.get("enum", ()) or (_WORDS[node["type"]],)]
        return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"

    def alternatives(self, node: Node) -> Iterator[Node]:
        """Yield the nodes that a node stands for: references and alternatives resolved, null omitted."""
        if "$ref" in node:
            yield from self.alternatives(self._root["$defs"][node["$ref"].rpartition("/")[2]])
        elif "anyOf" in node:
            for alternative in node["anyOf"]:
                yield from self.alternatives(alternative)
        elif node.get("type") != "null":
            yield node

    def _nodes(self, path: Sequence[str | int]) -> list[Node]:
        nodes = list(self.alternatives(self._root))
        for step in path:
            nodes = [child for node in nodes for child in self.alternatives(_child(node, step))]
        return nodes


@cache
def shape() -> Shape:
    """Return the shape of a configuration."""
    return Shape(schema())


@cache
def rule_file_shape() -> Shape:
    """Return the shape of a rule file."""
    return Shape(schema(RULE_FILE_ADAPTER))


def write_duration(seconds: float) -> str:
    """Return seconds as a user writes them: 5s, 10m, 250ms."""
    for unit, size in _DURATIONS:
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds / size)}{unit}"
    return f"{seconds * 1000:g}ms" if seconds else "0s"


def write_size(size: int) -> str:
    """Return bytes as a user writes them: 64KiB, 1GiB."""
    for unit, factor in _SIZES:
        if size >= factor and size % factor == 0:
            return f"{size // factor}{unit}"
    return f"{size}B"


class _Generator(GenerateJsonSchema):
    """Writes defaults in the units of users, and omits titles, which only repeat the names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def get_default_value(self, schema: core_schema.WithDefaultSchema) -> Any:
        if "default_factory" not in schema:
            return super().get_default_value(schema)
        default = schema["default_factory"]()  # type: ignore[call-arg]
        # The defaults of a section are those of its keys.
        return super().get_default_value(schema) if is_dataclass(default) else default

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        node = super().default_schema(schema)
        default = node.get("default")
        if node.get("type") == "string" and isinstance(default, float):
            node["default"] = write_duration(default)
        elif node.get("type") == "string" and isinstance(default, int):
            node["default"] = f"{default}%" if "%" in node["pattern"] else write_size(default)
        return node


def _child(node: Node, step: str | int) -> Node:
    if isinstance(step, int):
        child: Node = node.get("items", {"type": "null"})
        return child
    properties: Mapping[str, Node] = node.get("properties", {})
    additional = node.get("additionalProperties")
    return properties.get(step) or (additional if isinstance(additional, dict) else {"type": "null"})
