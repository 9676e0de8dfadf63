"""Translates pods for podman 4.3. The command prints `CHANGES`, the list of all changes."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

Object = dict[str, Any]

CHANGES: Final = {
    "kind": "the template of a Deployment becomes one Pod for each replica",
    "init": "init containers become containers; they are started in the kubelet's order, including native sidecars",
    "probes": "probes and hooks are removed; they are sent from the node, as by the kubelet",
    "ports": "ports are removed; podman would open them on this machine",
    "address": "references to fields of the pod, such as status.podIPs, are replaced by their values",
    "arguments": "$(NAME) in arguments is replaced by the variable's value",
    "volumes": "ConfigMaps and Secrets become folders of this machine, with the kubelet's layout and atomic updates",
    "group": "the pod's fsGroup becomes the group of its containers; podman has no supplemental groups",
    "names": "Services become lines of the hosts file; iptables routes their addresses to pods, as kube-proxy does",
    "image": "images are never pulled",
}

_WORKLOADS: Final = ("Deployment", "StatefulSet")
_REFERENCE: Final = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")


@dataclass(frozen=True, slots=True)
class Container:
    """A container; `first` is true if the kubelet starts it before the app's containers."""

    name: str
    written: Object
    first: bool

    @property
    def stays(self) -> bool:
        """True if it runs until the pod ends."""
        return not self.first or self.written.get("restartPolicy") == "Always"


@dataclass(frozen=True, slots=True)
class Template:
    """A pod as a workload describes it."""

    name: str
    replicas: int
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    spec: Object

    @property
    def containers(self) -> Sequence[Container]:
        """All containers, in the order in which the kubelet starts them."""
        return [
            *(Container(written["name"], written, True) for written in self.spec.get("initContainers") or []),
            *(Container(written["name"], written, False) for written in self.spec["containers"]),
        ]


def templates(documents: Iterable[Object]) -> Iterator[Template]:
    """Yield the pods of all workloads among the documents, and the plain pods."""
    for document in documents:
        if document["kind"] == "Pod":
            meta = document["metadata"]
            labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
            yield Template(meta["name"], 0, labels, annotations, document["spec"])
        elif document["kind"] in _WORKLOADS:
            spec = document["spec"]
            meta = spec["template"]["metadata"]
            yield Template(
                document["metadata"]["name"],
                spec.get("replicas", 1),
                meta.get("labels") or {},
                meta.get("annotations") or {},
                spec["template"]["spec"],
            )


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a pod: its name, address, known hosts and volumes."""

    pod: str
    namespace: str
    address: str
    hosts: Mapping[str, str]
    folders: Mapping[str, Path]


def adapt(template: Template, place: Place, values: Mapping[tuple[str, str, str], str]) -> Object:
    """Write the pod for podman; `values` are those of ConfigMaps and Secrets, by kind, name and key."""
    spec = template.spec
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": place.pod, "labels": dict(template.labels)},
        "spec": {
            "restartPolicy": "Never",
            "hostname": place.pod,
            "hostAliases": [{"ip": address, "hostnames": [host]} for host, address in place.hosts.items()],
            "securityContext": spec.get("securityContext") or {},
            "containers": [_container(container.written, template, place, values) for container in template.containers],
            "volumes": [_volume(volume, place) for volume in spec.get("volumes") or []],
        },
    }


def _container(written: Object, template: Template, place: Place, values: Mapping[tuple[str, str, str], str]) -> Object:
    adapted = copy.deepcopy(written)
    for key in ("restartPolicy", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "ports", "envFrom"):
        adapted.pop(key, None)
    variables = dict(_environment(written, template, place, values))
    adapted["env"] = [{"name": name, "value": value} for name, value in variables.items()]
    for key in ("command", "args"):
        if key in adapted:
            adapted[key] = [_expand(argument, variables) for argument in adapted[key]]
    adapted["imagePullPolicy"] = "Never"
    if (group := (template.spec.get("securityContext") or {}).get("fsGroup")) is not None:
        adapted["securityContext"] = {**(adapted.get("securityContext") or {}), "runAsGroup": group}
    return adapted


def _environment(
    written: Object, template: Template, place: Place, values: Mapping[tuple[str, str, str], str]
) -> Iterator[tuple[str, str]]:
    for source in written.get("envFrom") or []:
        kind, name = (
            ("ConfigMap", source["configMapRef"]["name"])
            if "configMapRef" in source
            else ("Secret", source["secretRef"]["name"])
        )
        yield from ((key, value) for (of, named, key), value in values.items() if (of, named) == (kind, name))
    known: dict[str, str] = {}
    for variable in written.get("env") or []:
        match variable:
            case {"name": name, "value": value}:
                known[name] = _expand(value, known)
            case {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}:
                known[name] = _field(path, template, place)
            case {"name": name, "valueFrom": {"configMapKeyRef": {"name": source, "key": key}}}:
                known[name] = values["ConfigMap", source, key]
            case {"name": name, "valueFrom": {"secretKeyRef": {"name": source, "key": key}}}:
                known[name] = values["Secret", source, key]
            case _:
                raise ValueError(f"{written['name']}: unknown kind of variable: {variable}")
    yield from known.items()


def _field(path: str, template: Template, place: Place) -> str:
    fields = {
        "status.podIP": place.address,
        "status.podIPs": place.address,
        "status.hostIP": place.address.rpartition(".")[0] + ".1",
        "metadata.name": place.pod,
        "metadata.namespace": place.namespace,
        "metadata.uid": place.pod,
        "spec.nodeName": "node",
        "spec.serviceAccountName": template.spec.get("serviceAccountName", "default"),
        **{f"metadata.labels['{key}']": value for key, value in template.labels.items()},
        **{f"metadata.annotations['{key}']": value for key, value in template.annotations.items()},
    }
    return str(fields[path])


def _expand(text: str, variables: Mapping[str, str]) -> str:
    """Expand variables as Kubernetes does: an unknown one stays as it is, and `$$` is one `$`."""

    def value(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else variables.get(match[1], match[0])

    return _REFERENCE.sub(value, text)


def _volume(volume: Object, place: Place) -> Object:
    if "emptyDir" in volume:
        return {"name": volume["name"], "emptyDir": {}}
    return {"name": volume["name"], "hostPath": {"path": str(place.folders[volume["name"]]), "type": "Directory"}}
