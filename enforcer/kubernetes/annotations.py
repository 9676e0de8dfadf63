"""The status annotation: records in a pod template, or in another object, how to revert an injection exactly."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from types import NoneType
from typing import Any, Final

from enforcer.kubernetes import names
from enforcer.yamltext.objects import Object, section


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The status of a pod template. Added parts are recognized by their names; the status holds everything else."""

    version: str
    hash: str
    """Hash of the sidecar's container: equal hashes mean equal containers."""
    mode: str
    container: str
    """Name of the app's container."""
    port: int
    """The protected port."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """The app's port that was renamed: its new name, by its former name."""
    pre_stop: bool = False
    """True if a preStop hook was added to the app."""
    grace: tuple[int | None, ...] = ()
    """The former grace period, if it was changed; None if the template had none."""
    env: Mapping[str, Any] = field(default_factory=dict)
    """The app's environment variables that were set: the former entries by name, or None if there was none."""
    args: int = 0
    """The number of arguments that were added to the app."""
    annotations: Mapping[str, str | None] = field(default_factory=dict)
    """The former values of other annotations that were set; None for an annotation that did not exist."""
    pull_secret: str = ""
    """The Secret that was added to those with which images are pulled."""
    empty: Mapping[str, Any] = field(default_factory=dict)
    """Parts that existed but were empty: their former values by path."""
    name: str = ""
    """The name by which Services find the enforcer, in mode `port`; empty if they do not use one."""
    protocol: str = ""
    """The protocol of the app's port, if only a Service reveals it: another injection may not know the Service."""
    options: Mapping[str, str] = field(default_factory=dict)
    """The options of the injection that are not annotations of the template (`carried_options`)."""

    def write(self) -> str:
        """Write the status as JSON, without empty fields."""
        return json.dumps({name: value for name, value in asdict(self).items() if value}, separators=(",", ":"))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and value >= 0


def _is_mapping_to(*types: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(isinstance(member, types) for member in value.values())


def _is_grace(value: Any) -> bool:
    return isinstance(value, list) and all(member is None or _is_count(member) for member in value)


_TYPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(("version", "hash", "mode", "container", "pull_secret"), _is_text),
    "port": _is_count,
    "renamed": _is_mapping_to(str),
    "pre_stop": lambda value: isinstance(value, bool),
    "grace": _is_grace,
    "env": _is_mapping_to(dict, NoneType),
    "args": _is_count,
    "annotations": _is_mapping_to(str, NoneType),
    "empty": _is_mapping_to(object),
    "name": _is_text,
    "protocol": _is_text,
    "options": _is_mapping_to(str),
}
"""A test for each field of a status: anybody may have edited the annotation."""


def status_of(template: Object) -> Status | None:
    """Return the status of a template; None if it was not injected, or if the annotation is not a valid status."""
    values = _read(template)
    if values is None or not all(name in _TYPES and _TYPES[name](value) for name, value in values.items()):
        return None
    try:
        return Status(**{**values, "grace": tuple(values.get("grace", ()))})
    except TypeError:
        return None


def _read(obj: Object) -> Object | None:
    text = section(obj, "metadata", "annotations").get(names.STATUS)
    try:
        values = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return values if isinstance(values, dict) else None


def with_status(obj: Object, former: Mapping[str, Any]) -> Object:
    """Return an object with the status annotation, which holds its former values."""
    metadata = section(obj, "metadata")
    annotations = metadata.get("annotations")
    if "annotations" in metadata and not annotations:
        former = {**former, "annotations": annotations}
    text = json.dumps(former, separators=(",", ":"))
    return {**obj, "metadata": {**metadata, "annotations": {**section(metadata, "annotations"), names.STATUS: text}}}


def without_status(obj: Object) -> tuple[Object, Mapping[str, Any]] | None:
    """Return an object without the status annotation, and the former values; None if there is no valid annotation."""
    if (former := _read(obj)) is None:
        return None
    metadata = obj["metadata"]
    annotations = {name: value for name, value in metadata["annotations"].items() if name != names.STATUS}
    rest = {**metadata, "annotations": annotations or ({} if former.get("annotations") == {} else None)}
    if not annotations and "annotations" not in former:
        del rest["annotations"]
    return {**obj, "metadata": rest}, former


def ours(kind: str, api_version: str, name: str, namespace: str | None, by: str, **parts: Any) -> Object:
    """Write an object that an injection creates; without namespace, kubectl chooses it."""
    metadata: Object = {"name": name} if namespace is None else {"name": name, "namespace": namespace}
    metadata["annotations"] = {names.INJECTED_BY: by}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **parts}


def is_ours(obj: Object) -> bool:
    """Return whether an injection created the object, so that it may be replaced and removed."""
    if obj.get("kind") not in ("NetworkPolicy", "ConfigMap"):
        return False
    return names.INJECTED_BY in section(obj, "metadata", "annotations")
