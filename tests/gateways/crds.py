"""Validation of custom resources against their definitions, as strict as `kubectl create --validate=strict`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import yaml

Object = Mapping[str, Any]
Schema = dict[str, Any]

_OF_EVERY_OBJECT = ("apiVersion", "kind", "metadata")
"""The fields that the API server itself checks."""


class Definitions:
    """The definitions in a folder. Rules in CEL (`x-kubernetes-validations`) are not evaluated."""

    def __init__(self, folder: Path) -> None:
        self._schemas: dict[tuple[str, str], Schema] = {}
        for path in sorted(folder.glob("*.y*ml")):
            for definition in _read(path):
                spec = definition["spec"]
                for version in spec["versions"]:
                    name = f"{spec['group']}/{version['name']}", spec["names"]["kind"]
                    schema = version["schema"]["openAPIV3Schema"]
                    properties = {**schema["properties"], **{key: {} for key in _OF_EVERY_OBJECT}}
                    self._schemas[name] = _strict({**schema, "properties": properties})

    def knows(self, thing: Object) -> bool:
        """Return whether the version and kind of an object are defined."""
        return (thing["apiVersion"], thing["kind"]) in self._schemas

    def faults(self, thing: Object) -> list[str]:
        """Return the faults of an object, unknown fields included, each with its path."""
        validator = jsonschema.Draft4Validator(self._schemas[thing["apiVersion"], thing["kind"]])
        return [f"{fault.json_path}: {fault.message}" for fault in validator.iter_errors(thing)]


def _read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the definitions of a file, which may be a template of a chart with conditions around them."""
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("{{")]
    for document in yaml.load_all("\n".join(lines), yaml.CSafeLoader):
        if document and document.get("kind") == "CustomResourceDefinition":
            yield document


def _strict(schema: Schema) -> Schema:
    """Return a structural schema that refuses what the API server would drop, and that JSON Schema knows.

    Only the structure is changed: the schemas of `anyOf` and the like constrain fields, and list some of them.
    """
    strict = dict(schema)
    if schema.get("x-kubernetes-int-or-string"):
        strict.pop("type", None)
    elif schema.get("nullable") and "type" in schema:
        strict["type"] = [schema["type"], "null"]
    properties = schema.get("properties")
    if properties is not None:
        strict["properties"] = {name: _strict(value) for name, value in properties.items()}
        if "additionalProperties" not in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            strict["additionalProperties"] = False
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            strict[key] = _strict(schema[key])
    strict.pop("format", None)
    return strict
