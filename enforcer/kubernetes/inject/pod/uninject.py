"""Takes the sidecar out of a pod's template, which then is what it was before; what others changed since stays."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from enforcer.kubernetes import names
from enforcer.kubernetes.annotations import Status, status_of
from enforcer.kubernetes.inject.pod import probes
from enforcer.kubernetes.sidecar import LABELS
from enforcer.yamltext.objects import Object, items


def uninject(template: Object) -> Object | None:
    """Return a template without the sidecar; None if it has none of ours."""
    status = status_of(template)
    if status is None:
        return None
    return _Removal(deepcopy(template), status).removed()


class _Removal:
    """One template on its way back."""

    def __init__(self, template: Object, status: Status) -> None:
        self.template = template
        self.spec: Object = template["spec"]
        self.status = status

    def removed(self) -> Object:
        """Undo all of it."""
        stored = self._stored()
        for key in ("containers", "initContainers", "volumes"):
            self._without(self.spec, key, f"spec.{key}", _is_not_ours)
        for key in ("containers", "initContainers"):
            for at, one in enumerate(self.spec.get(key) or ()):
                self.spec[key][at] = self._given_back(one, stored)
        self._take_time_back()
        self._unmark()
        return self.template

    def _stored(self) -> Mapping[str, Any]:
        """Return the probes that the sidecar was told of."""
        ours = [one for key in ("containers", "initContainers") for one in items(self.spec, key)]
        for entry in (entry for one in ours if one.get("name") == names.CONTAINER for entry in items(one, "env")):
            if entry.get("name") == names.PROBES:
                found = json.loads(entry["value"].replace("$$", "$"))
                return found if isinstance(found, dict) else {}
        return {}

    def _without(self, parent: Object, key: str, where: str, keep: Callable[[Any], bool]) -> None:
        """Leave of a list or mapping what is to be kept; one that is empty then stands for what was there before."""
        if not parent.get(key):
            return
        part = parent[key]
        kept = {name: part[name] for name in part if keep(name)} if isinstance(part, dict) else [*filter(keep, part)]
        self._put(parent, key, where, kept)

    def _put(self, parent: Object, key: str, where: str, part: Any) -> None:
        if part:
            parent[key] = part
        elif where in self.status.empty:
            parent[key] = self.status.empty[where]
        else:
            parent.pop(key, None)

    def _given_back(self, one: Object, stored: Mapping[str, Any]) -> Object:
        one = probes.given_back(one, stored)
        if one.get("name") != self.status.container:
            return one
        for old, new in self.status.renamed.items():
            ports = [{**port, "name": old} if port.get("name") == new else port for port in items(one, "ports")]
            one = probes.renamed({**one, "ports": ports}, new, old)
        self._take_back_environment(one)
        if self.status.args:
            self._put(one, "args", "args", one.get("args", [])[: -self.status.args])
        if self.status.pre_stop:
            self._without(one, "lifecycle", "lifecycle", lambda name: name != "preStop")
        return one

    def _take_back_environment(self, one: Object) -> None:
        former = self.status.env
        if former and items(one, "env"):
            entries = [former.get(entry["name"], entry) if "name" in entry else entry for entry in one["env"]]
            self._put(one, "env", "env", [entry for entry in entries if entry is not None])

    def _take_time_back(self) -> None:
        for former in self.status.grace:
            if former is None:
                self.spec.pop("terminationGracePeriodSeconds", None)
            else:
                self.spec["terminationGracePeriodSeconds"] = former

    def _unmark(self) -> None:
        metadata = self.template["metadata"]
        annotations = metadata["annotations"]
        for name, former in self.status.annotations.items():
            if former is not None:
                annotations[name] = former
        gone = {*names.WRITTEN, *(name for name, former in self.status.annotations.items() if former is None)}
        self._without(metadata, "labels", "metadata.labels", lambda name: name not in LABELS)
        self._without(metadata, "annotations", "metadata.annotations", lambda name: name not in gone)
        self._put(self.template, "metadata", "metadata", metadata)


def _is_not_ours(one: Object) -> bool:
    return one.get("name") not in names.OURS
