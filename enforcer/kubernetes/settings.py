"""Settings of sidecars: from the command line for all, from annotations for one namespace or one pod.

An unknown annotation under our prefix and an invalid value are errors, because ignoring them would protect a pod in
another way than its author asked for, or not at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any, Final, TypeVar

from enforcer.errors import EnforcerError
from enforcer.kubernetes import names
from enforcer.kubernetes.sidecar import ContainerSettings, Mode, ServiceAccountToken
from enforcer.yamltext.documents import ManifestError, value_of

MAX_CONFIG: Final = 8192
"""Characters in the annotation `config`. It is for a few settings; a policy belongs in a ConfigMap."""
MAX_SECONDS: Final = 3600
"""Seconds that a pod may take to end, one hour: a longer time is surely a mistake."""
_MAX_PROBLEMS: Final = 20
"""Invalid settings that are reported: finding the name that was meant takes time, and a pod may have thousands."""
_MAX_SHOWN: Final = 100
"""Characters of an invalid name or value that an error quotes."""

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
KEY: Final = re.compile(r"[A-Za-z0-9._-]{1,253}")
_IMAGE: Final = re.compile(r"[A-Za-z0-9][!-~]*")
_QUANTITY: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:m|k|[MGTPE]|[KMGTPE]i)?")
_PORT_NAME: Final = re.compile(r"(?=.*[a-z])[a-z0-9](?:[a-z0-9-]{0,13}[a-z0-9])?")
_SETTING: Final = re.compile(r"[A-Za-z0-9_-]+")
_OURS: Final = ("listener.address", "admin.address", "upstream.url")


class SettingsError(EnforcerError):
    """All invalid settings of a sidecar, in `problems`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ContainerSettings):
    """The settings of a sidecar; None means that the value is detected, or that the enforcer's default applies."""

    port: str | int | None = None
    """Name or number of the port to protect."""
    container: str | None = None
    policy: str | None = None
    credentials: str | None = None
    image_pull_secret: str | None = None
    """Name of a Secret in the pod's namespace, with which the enforcer's image is pulled."""
    native: bool | None = None
    config: Mapping[str, str] = field(default_factory=dict)
    container_patch: tuple[Mapping[str, Any], ...] = ()
    rewrite_probes: bool = True
    app_env: Mapping[str, str] = field(default_factory=dict)
    app_args: tuple[str, ...] = ()
    network_policy: bool | None = None
    monitoring_namespace: str = "monitoring"
    scrape_passthrough: bool = False


Change = Mapping[str, Any]
Parser = Callable[[Settings, str], Change]


def with_annotations(settings: Settings, annotations: Mapping[str, Any]) -> Settings:
    """Apply annotations; raises SettingsError with the unknown annotations and invalid values."""
    ours = {
        name.removeprefix(names.PREFIX): value
        for name, value in annotations.items()
        if name.startswith(names.PREFIX) and name not in names.WRITTEN
    }
    return apply(settings, ours, ANNOTATIONS, names.PREFIX)


def with_options(settings: Settings, options: Mapping[str, str]) -> Settings:
    """Apply options of a command line; raises SettingsError."""
    return apply(settings, options, OPTIONS, "--")


def with_values(settings: Settings, values: Mapping[str, str]) -> Settings:
    """Apply the values of `--set`; raises SettingsError with the unknown keys and invalid values."""
    return apply(settings, values, VALUES, "")


def apply(settings: Settings, values: Mapping[str, Any], known: Mapping[str, Parser], prefix: str) -> Settings:
    """Apply values by name; raises SettingsError with the names that are not known and the invalid values."""
    problems: list[str] = []
    for name, value in values.items():
        if len(problems) >= _MAX_PROBLEMS:
            problems.append("and more")
            break
        if name not in known:
            matches = get_close_matches(name, known, 1)
            hint = f'did you mean "{prefix}{matches[0]}"?' if matches else f"known: {', '.join(known)}"
            if f"{prefix}{name}" in (names.INJECT, names.INJECTED):
                hint = "it is a label, not an annotation"
            problems.append(f"{prefix}{name[:_MAX_SHOWN]} is unknown; {hint}")
            continue
        if not isinstance(value, str):
            shown = json.dumps(value, ensure_ascii=False)[:_MAX_SHOWN]
            problems.append(f"{prefix}{name}: expected a text, in quotes, found {shown}")
            continue
        try:
            settings = replace(settings, **known[name](settings, value))
        except ValueError as error:
            problems.append(f"{prefix}{name}: {error}, found {json.dumps(value, ensure_ascii=False)[:_MAX_SHOWN]}")
    if problems:
        raise SettingsError(problems)
    return settings


T = TypeVar("T")


def _field(name: str, parse: Callable[[str], Any]) -> Parser:
    return lambda settings, text: {name: parse(text)}


def _resource(name: str) -> Parser:
    return lambda settings, text: {"resources": replace(settings.resources, **{name: _quantity(text)})}


def _pattern(pattern: re.Pattern[str], expected: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"expected {expected}")
        return text

    return parse


def _choice(choices: Mapping[str, T]) -> Callable[[str], T]:
    def parse(text: str) -> T:
        if text not in choices:
            raise ValueError(f"expected {', '.join(choices)}")
        return choices[text]

    return parse


def _word(*words: str) -> Callable[[str], str]:
    return _choice(dict(zip(words, words, strict=True)))


def _number(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"expected a whole number from {least} to {most}")
        return int(text)

    return parse


_name = _pattern(_NAME, "a Kubernetes name: lower-case letters, digits, hyphens and dots")
_quantity = _pattern(_QUANTITY, "a quantity such as 100m or 128Mi")
_any_port = _number(1, 65535)
_own_port = _number(1024, 65535)
_seconds = _number(0, MAX_SECONDS)


def parse_port(text: str) -> str | int:
    """Parse the name or the number of a port; raises ValueError."""
    if text.isdecimal():
        return _any_port(text)
    return _pattern(_PORT_NAME, "a port's name or number")(text)


def parse_policy(text: str) -> Change:
    """Parse `name` or `name/key` of a ConfigMap; raises ValueError."""
    name, slash, key = text.partition("/")
    if not _NAME.fullmatch(name) or (slash and not KEY.fullmatch(key)):
        raise ValueError("expected the name of a ConfigMap in the same namespace, or name/key")
    return {"policy": name, "policy_key": key or names.POLICY_KEY}


def parse_config(text: str) -> dict[str, str]:
    """Parse YAML that overrides the policy; returns values by dotted key. Raises ValueError."""
    if len(text) > MAX_CONFIG:
        raise ValueError(f"is longer than {MAX_CONFIG} characters; put it into the policy")
    try:
        value = value_of(text, "config")
    except ManifestError as error:
        raise ValueError(str(error)) from None
    if not isinstance(value, dict):
        raise ValueError("expected a YAML mapping")  # noqa: TRY004 - collected with the others
    flat = dict(_flat(value, ""))
    if reserved := [key for key in _OURS if any(f"{key}.".startswith(f"{name}.") for name in flat)]:
        raise ValueError(f"{', '.join(reserved)} cannot be set: the injector sets it to match the pod")
    return flat


def _flat(value: Mapping[str, Any], prefix: str) -> Any:
    for key, member in value.items():
        if not _SETTING.fullmatch(key):
            raise ValueError(f'"{prefix}{key}" is not the name of a setting')
        if isinstance(member, dict) and member:
            yield from _flat(member, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(member)


def parse_container_patch(text: str) -> tuple[Mapping[str, Any], ...]:
    """Parse a JSON patch of the sidecar's container; raises ValueError."""
    try:
        patch = json.loads(text)
    except ValueError:
        patch = None
    if not isinstance(patch, list) or not all(isinstance(operation, dict) for operation in patch):
        raise ValueError("expected a JSON patch (RFC 6902): a list of operations")
    return tuple(patch)


def _audience(settings: Settings, text: str) -> Change:
    token = settings.service_account_token
    audience = _pattern(_IMAGE, "an audience without spaces")(text)
    return {
        "service_account_token": replace(token, audience=audience) if token else ServiceAccountToken(audience=audience)
    }


def _expiration(settings: Settings, text: str) -> Change:
    token = settings.service_account_token
    if token is None:
        raise ValueError("serviceAccountToken.audience must be set first")
    return {"service_account_token": replace(token, expiration_seconds=_number(600, 2**32)(text))}


def _user(settings: Settings, text: str) -> Change:
    return {"user": None if text in ("", "null") else _number(1, 2**31 - 1)(text)}


_RESOURCES: Final = ("cpu-request", "cpu-limit", "memory-request", "memory-limit")

ANNOTATIONS: Final[Mapping[str, Parser]] = {
    "mode": _field("mode", _choice({mode.value: mode for mode in Mode})),
    "port": _field("port", parse_port),
    "container": _field("container", _pattern(_LABEL, "the name of a container")),
    "policy": lambda settings, text: parse_policy(text),
    "credentials-secret": _field("credentials", _name),
    "native-sidecar": _field("native", _choice({"auto": None, "true": True, "false": False})),
    "image": _field("image", _pattern(_IMAGE, "an image")),
    "image-pull-policy": _field("image_pull_policy", _word("Always", "IfNotPresent", "Never")),
    "image-pull-secret": _field("image_pull_secret", _name),
    "log-level": _field("log_level", _word("debug", "info", "warning", "error")),
    "log-format": _field("log_format", _word("text", "json")),
    **{name: _resource(name.replace("-", "_")) for name in _RESOURCES},
    "drain-seconds": _field("drain_seconds", _number(1, MAX_SECONDS)),
    "wait-before-exit-seconds": _field("wait_before_exit_seconds", _seconds),
    "config": _field("config", parse_config),
    "container-patch": _field("container_patch", parse_container_patch),
    "skip-probe-rewrite": _field("rewrite_probes", _choice({"true": False})),
}
"""Annotations of a pod, without our prefix, each with its parser."""

VALUES: Final[Mapping[str, Parser]] = {
    "image": ANNOTATIONS["image"],
    "imagePullPolicy": ANNOTATIONS["image-pull-policy"],
    "listenPort": _field("listen_port", _own_port),
    "adminPort": _field("admin_port", _own_port),
    "runAsUser": _user,
    "resources.requests.cpu": ANNOTATIONS["cpu-request"],
    "resources.requests.memory": ANNOTATIONS["memory-request"],
    "resources.limits.cpu": ANNOTATIONS["cpu-limit"],
    "resources.limits.memory": ANNOTATIONS["memory-limit"],
    "logLevel": ANNOTATIONS["log-level"],
    "logFormat": ANNOTATIONS["log-format"],
    "drainSeconds": ANNOTATIONS["drain-seconds"],
    "waitBeforeExitSeconds": ANNOTATIONS["wait-before-exit-seconds"],
    "upstreamScheme": _field("upstream_scheme", _word("http", "https")),
    "serviceAccountToken.audience": _audience,
    "serviceAccountToken.expirationSeconds": _expiration,
    "allowReportMode": _field("allow_report_mode", _choice({"true": True, "false": False})),
    "monitoringNamespace": _field("monitoring_namespace", _pattern(_LABEL, "the name of a namespace")),
}
"""Keys of `--set`, which are the keys of the chart's `sidecar`, each with its parser."""

OPTIONS: Final[Mapping[str, Parser]] = {
    **{
        name: ANNOTATIONS[name]
        for name in ("mode", "port", "container", "credentials-secret", "native-sidecar", "image", "image-pull-secret")
    },
    "policy-configmap": ANNOTATIONS["policy"],
    "listen-port": VALUES["listenPort"],
}
"""Command-line options with the same name and parser as an annotation or a `--set` key."""
