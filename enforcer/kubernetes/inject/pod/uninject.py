"""Removes the sidecar from a pod template and restores what it was before; later changes by others stay."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from enforcer.kubernetes import names
from enforcer.kubernetes.annotations import Status, status_of
from enforcer.kubernetes.inject.pod import probes
from enforcer.kubernetes.sidecar import LABELS
from enforcer.kubernetes.workloads import all_containers
from enforcer.yamltext.objects import Object, items


def uninject(template: Object) -> Object | None:
    """Return the template without the sidecar; None if it was not injected."""
    status = status_of(template)
    if status is None:
        return None
    return _Removal(deepcopy(template), status).restored()


class _Removal:
    """The removal of the sidecar from one template."""

    def __init__(self, template: Object, status: Status) -> None:
        self.template = template
        self.spec: Object = template["spec"]
        self.status = status

    def restored(self) -> Object:
        """Revert all changes and return the template."""
        stored = self._stored()
        for key in ("containers", "initContainers", "volumes"):
            self._filter(self.spec, key, f"spec.{key}", lambda part: part.get("name") not in names.OURS)
        for key in ("containers", "initContainers"):
            for index, container in enumerate(self.spec.get(key) or ()):
                self.spec[key][index] = self._restore_container(container, stored)
        if secret := self.status.pull_secret:
            self._filter(self.spec, "imagePullSecrets", "spec.imagePullSecrets", lambda part: part != {"name": secret})
        self._restore_grace()
        self._remove_annotations()
        return self.template

    def _stored(self) -> Mapping[str, Any]:
        """Return the app's former probes, which the sidecar keeps in its environment."""
        ours = (container for container in all_containers(self.spec) if container.get("name") == names.CONTAINER)
        for entry in (entry for container in ours for entry in items(container, "env")):
            if entry.get("name") == names.PROBES:
                try:
                    stored = json.loads(str(entry.get("value")).replace("$$", "$"))
                except ValueError:
                    return {}
                return stored if isinstance(stored, dict) else {}
        return {}

    def _filter(self, parent: Object, key: str, where: str, keep: Callable[[Any], bool]) -> None:
        """Remove entries from a list or mapping; if none is left, the former value or absence is restored."""
        if not parent.get(key):
            return
        part = parent[key]
        rest = {name: part[name] for name in part if keep(name)} if isinstance(part, dict) else [*filter(keep, part)]
        self._put(parent, key, where, rest)

    def _put(self, parent: Object, key: str, where: str, part: Any) -> None:
        if part:
            parent[key] = part
        elif where in self.status.empty:
            parent[key] = self.status.empty[where]
        else:
            parent.pop(key, None)

    def _restore_container(self, container: Object, stored: Mapping[str, Any]) -> Object:
        container = probes.given_back(container, stored)
        if container.get("name") != self.status.container:
            return container
        for old, new in self.status.renamed.items():
            ports = [{**port, "name": old} if port.get("name") == new else port for port in items(container, "ports")]
            container = probes.renamed({**container, "ports": ports}, new, old)
        self._restore_environment(container)
        if self.status.args:
            self._put(container, "args", "args", container.get("args", [])[: -self.status.args])
        if self.status.pre_stop:
            self._filter(container, "lifecycle", "lifecycle", lambda name: name != "preStop")
        return container

    def _restore_environment(self, container: Object) -> None:
        former = self.status.env
        if former and items(container, "env"):
            entries = [former.get(entry["name"], entry) if "name" in entry else entry for entry in container["env"]]
            self._put(container, "env", "env", [entry for entry in entries if entry is not None])

    def _restore_grace(self) -> None:
        for former in self.status.grace:
            if former is None:
                self.spec.pop("terminationGracePeriodSeconds", None)
            else:
                self.spec["terminationGracePeriodSeconds"] = former

    def _remove_annotations(self) -> None:
        metadata = self.template["metadata"]
        annotations = metadata["annotations"]
        for name, former in self.status.annotations.items():
            if former is not None:
                annotations[name] = former
        gone = {*names.WRITTEN, *(name for name, former in self.status.annotations.items() if former is None)}
        self._filter(metadata, "labels", "metadata.labels", lambda name: name not in LABELS)
        self._filter(metadata, "annotations", "metadata.annotations", lambda name: name not in gone)
        self._put(self.template, "metadata", "metadata", metadata)
