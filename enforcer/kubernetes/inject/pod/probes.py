"""Probes and lifecycle hooks that would otherwise reach the enforcer instead of the app, or nothing at all.

In modes `loopback` and `transparent` the kubelet, which connects from outside of the pod, cannot reach the app's port.
So its probes go to the enforcer's admin server, which probes the app from inside of the pod. The original probe is kept
as JSON in the enforcer's environment: the enforcer executes it, and `uninject` restores it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from enforcer.kubernetes.inject.pod.ports import number_of
from enforcer.yamltext.objects import Object, section

FOLDER: Final = "/probes"
"""Path prefix on the admin server: `/probes/<container>/<which>`."""

_PROBES: Final = {"livenessProbe": "livez", "readinessProbe": "readyz", "startupProbe": "startupz"}
_HOOKS: Final = {"postStart": "poststart", "preStop": "prestop"}
_ACTIONS: Final = ("httpGet", "tcpSocket", "grpc")

Stored = dict[str, Any]
"""The original probes by `<container>/<which>`: the action, the number of its `port`, and `timeoutSeconds`."""


def taken_over(container: Object, admin_port: int, affects: Callable[[int], bool], stored: Stored) -> Object:
    """Return a container whose probes of ports that `affects` accepts go to the admin server; fills `stored`."""

    def change(which: str, handler: Object) -> Object:
        # A hook cannot use gRPC, and the kubelet does not execute one with tcpSocket.
        actions = _ACTIONS if which in _PROBES.values() else ("httpGet",)
        action = next((name for name in actions if isinstance(handler.get(name), dict)), None)
        if action is None or handler[action].get("host"):
            return handler
        number = number_of(container, handler[action].get("port"))
        if number is None or not affects(number):
            return handler
        original: Stored = {action: handler[action], "port": number}
        if "timeoutSeconds" in handler:
            original["timeoutSeconds"] = handler["timeoutSeconds"]
        path = f"{container.get('name')}/{which}"
        stored[path] = original
        return _replace_action(handler, action, "httpGet", _redirected(handler[action], f"{FOLDER}/{path}", admin_port))

    return _handlers(container, change)


def given_back(container: Object, stored: Mapping[str, Any]) -> Object:
    """Return the container with its original probes: the inverse of `taken_over`."""

    def change(which: str, handler: Object) -> Object:
        path = f"{container.get('name')}/{which}"
        original = stored.get(path)
        if not isinstance(original, dict) or section(handler, "httpGet").get("path") != f"{FOLDER}/{path}":
            return handler
        action = next((name for name in _ACTIONS if name in original), None)
        if action is None:
            return handler
        return _replace_action(handler, "httpGet", action, original[action])

    return _handlers(container, change)


def renamed(container: Object, old: str, new: str) -> Object:
    """Return a container whose probes and hooks use the new name of a port."""

    def change(which: str, handler: Object) -> Object:
        for action in _ACTIONS:
            if section(handler, action).get("port") == old:
                return {**handler, action: {**handler[action], "port": new}}
        return handler

    return _handlers(container, change)


def _redirected(action: Object, path: str, admin_port: int) -> Object:
    # Keys keep their order. The admin server ignores the headers: it sends those of the original probe.
    target = {"path": path, "port": admin_port}
    unchanged = {key: action[key] for key in action if key in ("path", "port", "scheme", "httpHeaders")}
    return {**unchanged, **target, **({"scheme": "HTTP"} if "scheme" in unchanged else {})}


def _replace_action(handler: Object, old: str, new: str, value: Any) -> Object:
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
    """Write the original probes for the enforcer's environment; None if there are none."""
    return json.dumps(stored, separators=(",", ":"), ensure_ascii=False) if stored else None
