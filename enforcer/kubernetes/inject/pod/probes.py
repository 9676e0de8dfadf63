"""Probes and lifecycle hooks that would reach the enforcer instead of the app, or nothing at all.

In modes `loopback` and `transparent` the kubelet, which comes from outside of the pod, cannot reach the app's port. So
it asks the enforcer's admin side, which asks the app in its place, from inside. The original is kept as JSON in the
enforcer's environment: by it the enforcer knows what to do, and `uninject` what was there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from enforcer.kubernetes.inject.pod.ports import number_of
from enforcer.yamltext.objects import Object, section

FOLDER: Final = "/probes"
"""Path of the admin side under which they are: `/probes/<container>/<which>`."""

_PROBES: Final = {"livenessProbe": "livez", "readinessProbe": "readyz", "startupProbe": "startupz"}
_HOOKS: Final = {"postStart": "poststart", "preStop": "prestop"}
_ACTIONS: Final = ("httpGet", "tcpSocket", "grpc")

Stored = dict[str, Any]
"""What is kept of each, by `<container>/<which>`: its action, the number of its `port`, and its `timeoutSeconds`."""


def taken_over(container: Object, admin_port: int, concerns: Callable[[int], bool], stored: Stored) -> Object:
    """Return a container whose probes ask the admin side, those to ports that `concerns` is true of; fills `stored`."""

    def change(which: str, handler: Object) -> Object:
        # A hook has no gRPC, and the kubelet refuses one with tcpSocket.
        actions = _ACTIONS if which in _PROBES.values() else ("httpGet",)
        action = next((name for name in actions if isinstance(handler.get(name), dict)), None)
        if action is None or handler[action].get("host"):
            return handler
        number = number_of(container, handler[action].get("port"))
        if number is None or not concerns(number):
            return handler
        kept: Stored = {action: handler[action], "port": number}
        if "timeoutSeconds" in handler:
            kept["timeoutSeconds"] = handler["timeoutSeconds"]
        path = f"{container.get('name')}/{which}"
        stored[path] = kept
        return _instead(handler, action, "httpGet", _asking(handler[action], f"{FOLDER}/{path}", admin_port))

    return _handlers(container, change)


def given_back(container: Object, stored: Mapping[str, Any]) -> Object:
    """Return the container as it was before `taken_over`."""

    def change(which: str, handler: Object) -> Object:
        path = f"{container.get('name')}/{which}"
        kept = stored.get(path)
        if not isinstance(kept, dict) or section(handler, "httpGet").get("path") != f"{FOLDER}/{path}":
            return handler
        action = next(name for name in _ACTIONS if name in kept)
        return _instead(handler, "httpGet", action, kept[action])

    return _handlers(container, change)


def renamed(container: Object, old: str, new: str) -> Object:
    """Return a container whose probes and hooks name a port of its own by another name."""

    def change(which: str, handler: Object) -> Object:
        for action in _ACTIONS:
            if section(handler, action).get("port") == old:
                return {**handler, action: {**handler[action], "port": new}}
        return handler

    return _handlers(container, change)


def _asking(action: Object, path: str, admin_port: int) -> Object:
    # What stays keeps its place; the admin side makes nothing of the headers, which it knows from what is kept.
    asking = {"path": path, "port": admin_port}
    kept = {key: action[key] for key in action if key in ("path", "port", "scheme", "httpHeaders")}
    return {**kept, **asking, **({"scheme": "HTTP"} if "scheme" in kept else {})}


def _instead(handler: Object, old: str, new: str, value: Any) -> Object:
    return dict((new, value) if key == old else (key, member) for key, member in handler.items())


def _handlers(container: Object, change: Callable[[str, Object], Object]) -> Object:
    changed = dict(container)
    for key, which in _present(container, _PROBES):
        changed[key] = change(which, container[key])
    lifecycle = section(container, "lifecycle")
    for key, which in _present(lifecycle, _HOOKS):
        changed["lifecycle"] = {**changed["lifecycle"], key: change(which, lifecycle[key])}
    return changed


def _present(value: Object, keys: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((key, which) for key, which in keys.items() if isinstance(value.get(key), dict))


def as_text(stored: Stored) -> str | None:
    """Write what is kept for the enforcer's environment; None where nothing is."""
    return json.dumps(stored, separators=(",", ":"), ensure_ascii=False) if stored else None
