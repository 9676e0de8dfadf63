"""Proxies that another webhook adds to pods, and which forward connections to the app from inside of the pod.

The manifests only announce them: by a label or an annotation of the pod, or of its namespace. From inside of the pod a
proxy reaches 127.0.0.1, where the app listens in mode `loopback`, and no redirect of mode `transparent` catches it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from enforcer.kubernetes.workloads import Workload, all_containers
from enforcer.yamltext.objects import Object, section

_MARKS: Final = (
    "istio-injection",
    "istio.io/rev",
    "istio.io/dataplane-mode",
    "sidecar.istio.io/inject",
    "linkerd.io/inject",
    "kuma.io/sidecar-injection",
    "consul.hashicorp.com/connect-inject",
    "dapr.io/enabled",
)
"""Labels and annotations of Istio, Linkerd, Kuma, Consul and Dapr."""
_OFF: Final = ("", "disabled", "false", "none")
_CONTAINERS: Final = ("istio-proxy", "linkerd-proxy", "kuma-sidecar", "consul-dataplane", "daprd")
"""The names of the containers that they add."""


def added_proxies(workload: Workload, namespace: Object) -> Iterator[str]:
    """Yield the marks and the containers of such proxies; `namespace` is the pods' Namespace, or empty."""
    pod = [section(workload.template, "metadata", key) for key in ("labels", "annotations")]
    space = [section(namespace, "metadata", key) for key in ("labels", "annotations")]
    for mark in _MARKS:
        # The pod decides for itself, if it says anything.
        values = [part[mark] for part in pod if mark in part] or [part[mark] for part in space if mark in part]
        if any(value not in _OFF for value in values):
            yield f"the proxy that {mark} adds to the pods"
    for name in (container.get("name") for container in all_containers(workload.spec)):
        if name in _CONTAINERS:
            yield f"the proxy {name}"
