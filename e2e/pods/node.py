"""The machine that runs pods: stores applied objects, mounts volumes, and routes Services to ready pods."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from e2e.pods.folders import Folder, contents, mounted, settings
from e2e.pods.kubelet import Pod
from e2e.pods.manifests import Place, Template, adapt, templates
from e2e.pods.podman import SUBNET, Podman
from e2e.pods.services import Proxy, Service, services, target

Object = dict[str, Any]

_FIRST: Final = 10
"""The last number of the first pod's address."""


class Node:
    """Runs one set of manifests."""

    def __init__(self, podman: Podman, proxy: Proxy, build: Path, documents: Sequence[Object], namespace: str) -> None:
        self._podman = podman
        self._proxy = proxy
        self._documents = documents
        self._namespace = namespace
        self._build = build
        self._data = contents(documents)
        self._folders: dict[str, list[tuple[Folder, Object]]] = {}
        self._numbers = iter(range(_FIRST, 250))
        self.services = services(documents)
        self.templates = {template.name: template for template in templates(documents)}
        self.pods: list[Pod] = []

    def start(self) -> None:
        """Run a pod for each replica of each workload, in the order of the manifests; pods that complete need `add`."""
        for template in self.templates.values():
            for _ in range(template.replicas):
                self.add(template)

    def add(self, template: Template) -> Pod:
        """Run one more pod, and route its Services to it once it is ready."""
        number = next(self._numbers)
        name, address = f"{template.name}-{number}", f"{SUBNET.rpartition('.')[0]}.{number}"
        place = Place(name, self._namespace, address, self._hosts(), self._mount(name, template))
        values = {
            (kind, source, key): content.decode()
            for (kind, source), files in self._data.items()
            for key, content in files.items()
        }
        manifest = self._build / f"{name}.yaml"
        manifest.write_text(yaml.safe_dump(adapt(template, place, values), sort_keys=False))
        self._podman.create(manifest, address)
        pod = Pod(self._podman, template, name, address)
        pod.start()
        self._podman.steady_network()
        self.pods.append(pod)
        self.route()
        return pod

    def withdraw(self, pod: Pod) -> None:
        """Stop routing Services to a pod, which keeps running."""
        self.pods.remove(pod)
        self.route()

    def route(self) -> None:
        """Route each Service to its pods."""
        self._proxy.route(
            (
                service.address,
                port["port"],
                [(pod.address, target(port, pod.template)) for pod in self.pods if service.selects(pod.template)],
            )
            for service in self.services
            if service.address is not None
            for port in service.ports
        )

    def of(self, workload: str) -> list[Pod]:
        """Return the pods of a workload."""
        return [pod for pod in self.pods if pod.template.name == workload]

    def data(self, kind: str, name: str) -> Mapping[str, bytes]:
        """Return the data of a ConfigMap or Secret."""
        return self._data[kind, name]

    def change(self, kind: str, name: str, files: Mapping[str, bytes]) -> None:
        """Change a ConfigMap or Secret, and the volumes of all pods that mount it."""
        self._data[kind, name] = dict(files)
        for volumes in self._folders.values():
            for folder, volume in volumes:
                folder.write(mounted(volume, self._data) or {})

    def url(self, name: str, port: int) -> str:
        """Return the URL of a Service, as this machine reaches it."""
        (service,) = [service for service in self.services if service.name == name]
        return f"http://{service.address}:{port}"

    def _hosts(self) -> dict[str, str]:
        return {
            host: service.address
            for service in self.services
            if service.address is not None
            for host in _names(service, self._namespace)
        }

    def _mount(self, pod: str, template: Template) -> dict[str, Path]:
        group = (template.spec.get("securityContext") or {}).get("fsGroup")
        paths = {}
        self._folders[pod] = []
        for volume in template.spec.get("volumes") or []:
            if (files := mounted(volume, self._data)) is not None:
                path = self._build / "volumes" / pod / volume["name"]
                folder = Folder(path, settings(volume).get("defaultMode", 0o644), group)
                folder.write(files)
                self._folders[pod].append((folder, volume))
                paths[volume["name"]] = path
        return paths


def _names(service: Service, namespace: str) -> Iterable[str]:
    name = f"{service.name}.{namespace}"
    return service.name, name, f"{name}.svc", f"{name}.svc.cluster.local"


@contextmanager
def running(podman: Podman, build: Path, documents: Sequence[Object], namespace: str = "default") -> Iterator[Node]:
    """Run manifests until the block ends; everything is removed then, even after an error."""
    folder = build / "node"
    proxy = Proxy()
    clear(podman, proxy, folder)
    folder.mkdir(parents=True)
    try:
        podman.start_network()
        proxy.start()
        yield Node(podman, proxy, folder, documents, namespace)
    finally:
        clear(podman, proxy, folder)


def clear(podman: Podman, proxy: Proxy, folder: Path) -> None:
    """Remove all running pods, and the remains of a killed run."""
    proxy.close()
    podman.close()
    shutil.rmtree(folder, ignore_errors=True)
