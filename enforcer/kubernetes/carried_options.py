"""The options of an injection, as the status annotation carries them to the next one.

A pod template that one program has injected, another may inject again: the command line, then the webhook. The options
of the first must apply again, or the second would protect the pods in another way, or not at all. They have the names
and the syntax of annotations and of `--set`, so that the same parsers read them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from enforcer.kubernetes import names
from enforcer.kubernetes.annotations import Status
from enforcer.kubernetes.settings import ANNOTATIONS, VALUES, Parser, Settings, apply
from enforcer.yamltext.objects import Object


def default_settings(package: str) -> Settings:
    """Return the settings of an injection without options, by this version of the enforcer."""
    return Settings(image=f"{names.IMAGE}:{package}")


def carried(settings: Settings, package: str) -> dict[str, str]:
    """Return the options that make the default settings of a version into these."""
    default = default_settings(package)
    written = {name: (write(settings), write(default)) for name, write in _TEXTS.items()}
    return {name: text for name, (text, former) in written.items() if text is not None and text != former}


def with_carried(settings: Settings, status: Status | None, explicit: Collection[str] = ()) -> Settings:
    """Apply the options of a former injection, without the explicit ones, which this one sets; raises SettingsError."""
    if status is None:
        return settings
    options = {name: text for name, text in status.options.items() if name not in explicit}
    return apply(settings, options, OPTIONS, f"{names.STATUS}: ")


def _text(name: str) -> Callable[[Settings], str | None]:
    def write(settings: Settings) -> str | None:
        value = getattr(settings, name)
        return None if value is None else str(value)

    return write


def _policy(settings: Settings) -> str | None:
    return None if settings.policy is None else f"{settings.policy}/{settings.policy_key}"


def _resource(name: str) -> Callable[[Settings], str | None]:
    return lambda settings: getattr(settings.resources, name)


def _token(name: str) -> Callable[[Settings], str | None]:
    def write(settings: Settings) -> str | None:
        token = settings.service_account_token
        return None if token is None else str(getattr(token, name))

    return write


def _config(settings: Settings) -> str:
    nested: Object = {}
    for key, value in settings.config.items():
        *path, last = key.split(".")
        inner = nested
        for step in path:
            inner = inner.setdefault(step, {})
        inner[last] = json.loads(value)
    return json.dumps(nested, separators=(",", ":"))


def _switch(name: str) -> Callable[[Settings], str]:
    words = {None: "auto", True: "true", False: "false"}
    return lambda settings: words[getattr(settings, name)]


_RESOURCES: Final = ("cpu-request", "cpu-limit", "memory-request", "memory-limit")

_TEXTS: Final[Mapping[str, Callable[[Settings], str | None]]] = {
    "mode": _text("mode"),
    "port": _text("port"),
    "container": _text("container"),
    "policy": _policy,
    "credentials-secret": _text("credentials"),
    "native-sidecar": _switch("native"),
    "image": _text("image"),
    "image-pull-policy": _text("image_pull_policy"),
    "image-pull-secret": _text("image_pull_secret"),
    "log-level": _text("log_level"),
    "log-format": _text("log_format"),
    **{name: _resource(name.replace("-", "_")) for name in _RESOURCES},
    "drain-seconds": _text("drain_seconds"),
    "wait-before-exit-seconds": _text("wait_before_exit_seconds"),
    "config": _config,
    "container-patch": lambda settings: json.dumps(settings.container_patch, separators=(",", ":")),
    "skip-probe-rewrite": lambda settings: None if settings.rewrite_probes else "true",
    "listenPort": _text("listen_port"),
    "adminPort": _text("admin_port"),
    "runAsUser": lambda settings: "null" if settings.user is None else str(settings.user),
    "upstreamScheme": _text("upstream_scheme"),
    "serviceAccountToken.audience": _token("audience"),
    "serviceAccountToken.expirationSeconds": _token("expiration_seconds"),
    "monitoringNamespace": _text("monitoring_namespace"),
    "app-env": lambda settings: json.dumps(dict(settings.app_env)),
    "app-arg": lambda settings: json.dumps(list(settings.app_args)),
    "network-policy": _switch("network_policy"),
    "scrape": lambda settings: "passthrough" if settings.scrape_passthrough else "warn",
}


def _json(kind: type, field: str, make: Callable[[Any], Any]) -> Parser:
    def parse(settings: Settings, text: str) -> dict[str, Any]:
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        members = [*value, *value.values()] if isinstance(value, dict) else value
        if not isinstance(value, kind) or not all(isinstance(member, str) for member in members or ()):
            raise ValueError("expected JSON with texts")
        return {field: make(value)}

    return parse


def _one_of(field: str, values: Mapping[str, Any]) -> Parser:
    def parse(settings: Settings, text: str) -> dict[str, Any]:
        if text not in values:
            raise ValueError(f"expected {', '.join(values)}")
        return {field: values[text]}

    return parse


OPTIONS: Final[Mapping[str, Parser]] = {
    **{name: parser for name, parser in VALUES.items() if name in _TEXTS},
    **ANNOTATIONS,
    "app-env": _json(dict, "app_env", dict),
    "app-arg": _json(list, "app_args", tuple),
    "network-policy": _one_of("network_policy", {"auto": None, "true": True, "false": False}),
    "scrape": _one_of("scrape_passthrough", {"warn": False, "passthrough": True}),
}
"""The options that are carried, each with its parser."""

NAMES: Final[Mapping[str, str]] = {
    "policy-configmap": "policy",
    "listen-port": "listenPort",
    **{
        f"resources.{kind}s.{resource}": f"{resource}-{kind}"
        for kind in ("request", "limit")
        for resource in ("cpu", "memory")
    },
    "imagePullPolicy": "image-pull-policy",
    "logLevel": "log-level",
    "logFormat": "log-format",
    "drainSeconds": "drain-seconds",
    "waitBeforeExitSeconds": "wait-before-exit-seconds",
}
"""The names of carried options that have another name on the command line, or as a key of `--set`."""
