"""Kubernetes objects as plain JSON values, and how to read parts of them without trusting their shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Object = dict[str, Any]


def identity(obj: Object) -> tuple[str, str | None]:
    """Return an object's name and namespace; the namespace is None if the object names none."""
    metadata = section(obj, "metadata")
    name, namespace = metadata.get("name"), metadata.get("namespace")
    # A pod that a controller creates has no name yet at admission, only the prefix of one.
    prefix = metadata.get("generateName")
    called = name if isinstance(name, str) else prefix.rstrip("-") if isinstance(prefix, str) else ""
    return called, namespace if isinstance(namespace, str) and namespace else None


def is_stored(obj: Object) -> bool:
    """Return whether a cluster wrote the object, as `kubectl get` shows it, and not only a person or a tool."""
    return any(section(obj, "metadata").get(key) for key in ("uid", "resourceVersion", "generation", "managedFields"))


def section(value: Mapping[str, Any], *path: str) -> Object:
    """Return the mapping at a path; an empty one if there is none, or if it is not a mapping."""
    member: Any = value
    for key in path:
        member = member.get(key) if isinstance(member, Mapping) else None
    return member if isinstance(member, dict) else {}


def items(value: Mapping[str, Any], key: str) -> list[Object]:
    """Return the mappings in a list; an empty list if there is none, or if it is not a list."""
    members = value.get(key)
    return [member for member in members if isinstance(member, dict)] if isinstance(members, list) else []
