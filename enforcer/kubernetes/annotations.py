"""What was done to a pod's template, as its own annotation tells it, so that it can be undone to the letter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from enforcer.kubernetes import names
from enforcer.yamltext.objects import Object, section


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What was added is known by its name; this is the rest."""

    version: str
    hash: str
    """Of the sidecar's container: two with the same one are the same."""
    mode: str
    container: str
    """The app's."""
    port: int
    """The protected one."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """The app's port: its new name by its former one."""
    pre_stop: bool = False
    """Whether the app was given a preStop hook."""
    grace: tuple[int | None, ...] = ()
    """The former time to end, if it was changed; None where there was none."""
    env: Mapping[str, Any] = field(default_factory=dict)
    """The app's environment variables that were set, by name: the former entry, or None."""
    args: int = 0
    """How many arguments the app was given."""
    annotations: Mapping[str, str | None] = field(default_factory=dict)
    """The former values of annotations that are not ours and were set, None for those that were not there."""
    empty: Mapping[str, Any] = field(default_factory=dict)
    """SharedResources that were there and empty: what stood there."""

    def write(self) -> str:
        """Write it as JSON; what says nothing is left out."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return json.dumps({name: value for name, value in values.items() if value}, separators=(",", ":"))


def status_of(template: Object) -> Status | None:
    """Return the status of a template; None if it was not injected, or has a status that is none of ours."""
    text = section(template, "metadata", "annotations").get(names.STATUS)
    try:
        values = json.loads(text) if isinstance(text, str) else None
        return Status(**{**values, "grace": tuple(values.get("grace", ()))}) if isinstance(values, dict) else None
    except (ValueError, TypeError):
        return None


def marked(thing: Object, former: Mapping[str, Any]) -> Object:
    """Return an object that says what it was before."""
    metadata = section(thing, "metadata")
    annotations = metadata.get("annotations")
    if "annotations" in metadata and not annotations:
        former = {**former, "annotations": annotations}
    text = json.dumps(former, separators=(",", ":"))
    return {**thing, "metadata": {**metadata, "annotations": {**(annotations or {}), names.STATUS: text}}}


def unmarked(thing: Object) -> tuple[Object, Mapping[str, Any]] | None:
    """Return an object that says so no more, and what it said; None if it says nothing."""
    metadata = section(thing, "metadata")
    text = section(metadata, "annotations").get(names.STATUS)
    try:
        former = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        former = None
    if not isinstance(former, dict):
        return None
    annotations = {name: value for name, value in metadata["annotations"].items() if name != names.STATUS}
    rest = {**metadata, "annotations": annotations or former.get("annotations")}
    if not annotations and "annotations" not in former:
        del rest["annotations"]
    return {**thing, "metadata": rest}, former


def is_ours(thing: Object) -> bool:
    """Tell whether an object was made here, and may be replaced and removed."""
    if thing.get("kind") not in ("NetworkPolicy", "ConfigMap"):
        return False
    return names.INJECTED_BY in section(thing, "metadata", "annotations")
