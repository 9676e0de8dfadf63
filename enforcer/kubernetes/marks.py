"""The status of objects other than pods' templates: what of them was changed, as an annotation of theirs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from enforcer.kubernetes import names
from enforcer.kubernetes.workloads import Object, section


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
