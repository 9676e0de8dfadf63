"""What can be said of a sidecar: for all by the command line, for one namespace or one pod by annotations.

Every annotation under our prefix is known and its value is read whole: one that is not is an error, since what it was
meant to say would go unheard, and a pod would be protected in another way than was asked for, or not at all.
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
from enforcer.kubernetes.sidecar import Mode, Resources, ServiceAccountToken
from enforcer.yamltext.documents import ManifestError, value_of

MOST_CONFIG: Final = 8192
"""Characters of the annotation `config`. It is for a few settings; a policy belongs into a ConfigMap."""
MOST_SECONDS: Final = 3600
"""Seconds that a pod may take to end, an hour: more is surely a mistake."""

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
KEY: Final = re.compile(r"[A-Za-z0-9._-]{1,253}")
_IMAGE: Final = re.compile(r"[A-Za-z0-9][!-~]*")
_QUANTITY: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:m|k|[MGTPE]|[KMGTPE]i)?")
_PORT_NAME: Final = re.compile(r"(?=.*[a-z])[a-z0-9](?:[a-z0-9-]{0,13}[a-z0-9])?")
_SETTING: Final = re.compile(r"[A-Za-z0-9_-]+")
_OURS: Final = ("listener.address", "admin.address", "upstream.url")


class SettingsError(EnforcerError):
    """All that is wrong with what was said of a sidecar."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is wanted; None where it is found out or has a default of its own."""

    image: str
    image_pull_policy: str = "IfNotPresent"
    mode: Mode = Mode.PORT
    port: str | int | None = None
    """The protected port, by its name or number."""
    container: str | None = None
    policy: str | None = None
    policy_key: str = names.POLICY_KEY
    credentials: str | None = None
    native: bool | None = None
    listen_port: int = names.LISTEN_PORT
    admin_port: int = names.ADMIN_PORT
    user: int | None = 65532
    resources: Resources = field(default_factory=Resources)
    log_level: str | None = None
    log_format: str | None = None
    drain_seconds: int = 20
    wait_before_exit_seconds: int = 5
    upstream_scheme: str = "http"
    config: Mapping[str, str] = field(default_factory=dict)
    container_patch: tuple[Mapping[str, Any], ...] = ()
    rewrite_probes: bool = True
    service_account_token: ServiceAccountToken | None = None
    app_env: Mapping[str, str] = field(default_factory=dict)
    app_args: tuple[str, ...] = ()
    network_policy: bool | None = None
    monitoring_namespace: str = "monitoring"
    scrape_passthrough: bool = False


Change = Mapping[str, Any]
Read = Callable[[Settings, str], Change]


def with_annotations(settings: Settings, annotations: Mapping[str, Any]) -> Settings:
    """Return settings with what annotations say instead; raises SettingsError for each that is not understood."""
    ours = {
        name.removeprefix(names.PREFIX): value
        for name, value in annotations.items()
        if name.startswith(names.PREFIX) and name not in names.WRITTEN
    }
    return _changed(settings, ours, ANNOTATIONS, names.PREFIX)


def with_options(settings: Settings, options: Mapping[str, str]) -> Settings:
    """Return settings with what options of a command line say instead; raises SettingsError."""
    return _changed(settings, options, OPTIONS, "--")


def with_values(settings: Settings, values: Mapping[str, str]) -> Settings:
    """Return settings with what `--set` says instead; raises SettingsError for each that is not understood."""
    return _changed(settings, values, VALUES, "")


def _changed(settings: Settings, said: Mapping[str, Any], known: Mapping[str, Read], prefix: str) -> Settings:
    problems = []
    for name, value in said.items():
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f'did you mean "{prefix}{near[0]}"?' if near else f"known: {', '.join(known)}"
            if f"{prefix}{name}" in (names.INJECT, names.INJECTED):
                hint = "it is a label"
            problems.append(f"{prefix}{name} is unknown; {hint}")
            continue
        try:
            settings = replace(settings, **known[name](settings, value if isinstance(value, str) else ""))
        except ValueError as error:
            problems.append(f"{prefix}{name}: {error}, found {json.dumps(value, ensure_ascii=False)[:100]}")
    if problems:
        raise SettingsError(problems)
    return settings


T = TypeVar("T")


def _to(name: str, read: Callable[[str], Any]) -> Read:
    return lambda settings, text: {name: read(text)}


def _to_resource(name: str) -> Read:
    return lambda settings, text: {"resources": replace(settings.resources, **{name: _quantity(text)})}


def _matching(pattern: re.Pattern[str], expected: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"expected {expected}")
        return text

    return read


def _one_of(choices: Mapping[str, T]) -> Callable[[str], T]:
    def read(text: str) -> T:
        if text not in choices:
            raise ValueError(f"expected {', '.join(choices)}")
        return choices[text]

    return read


def _number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"expected a whole number from {least} to {most}")
        return int(text)

    return read


_name = _matching(_NAME, "a name of Kubernetes: small letters, digits, hyphens and dots")
_quantity = _matching(_QUANTITY, "a quantity such as 100m or 128Mi")
_any_port = _number(1, 65535)
_own_port = _number(1024, 65535)
_seconds = _number(0, MOST_SECONDS)
_switch = _one_of({"true": True, "false": False})


def parse_port(text: str) -> str | int:
    """Read the name of a port or its number; raises ValueError."""
    if text.isdecimal():
        return _any_port(text)
    return _matching(_PORT_NAME, "a port's name or number")(text)


def parse_policy(text: str) -> Change:
    """Read `name` or `name/key` of a ConfigMap; raises ValueError."""
    name, slash, key = text.partition("/")
    if not _NAME.fullmatch(name) or (slash and not KEY.fullmatch(key)):
        raise ValueError("expected the name of a ConfigMap in the same namespace, or name/key")
    return {"policy": name, "policy_key": key or names.POLICY_KEY}


def parse_config(text: str) -> dict[str, str]:
    """Read YAML that is merged over the policy, as settings by their dotted keys; raises ValueError."""
    if len(text) > MOST_CONFIG:
        raise ValueError(f"is longer than {MOST_CONFIG} characters; put it into the policy")
    try:
        value = value_of(text, "config")
    except ManifestError as error:
        raise ValueError(str(error)) from None
    if not isinstance(value, dict):
        raise ValueError("expected a mapping of YAML")  # noqa: TRY004 - collected with the others
    flat = dict(_flat(value, ""))
    if found := [key for key in _OURS if any(f"{key}.".startswith(f"{name}.") for name in flat)]:
        raise ValueError(f"{', '.join(found)} is said by the injector, which knows the pod")
    return flat


def _flat(value: Mapping[str, Any], before: str) -> Any:
    for key, member in value.items():
        if not _SETTING.fullmatch(key):
            raise ValueError(f'no setting is called "{before}{key}"')
        if isinstance(member, dict) and member:
            yield from _flat(member, f"{before}{key}.")
        else:
            yield f"{before}{key}", json.dumps(member)


def parse_container_patch(text: str) -> tuple[Mapping[str, Any], ...]:
    """Read a JSON patch of the sidecar's container; raises ValueError."""
    try:
        patch = json.loads(text)
    except ValueError:
        patch = None
    if not isinstance(patch, list) or not all(isinstance(operation, dict) for operation in patch):
        raise ValueError("expected a JSON patch (RFC 6902): a list of operations")
    return tuple(patch)


def _audience(settings: Settings, text: str) -> Change:
    token = settings.service_account_token
    read = _matching(_IMAGE, "the audience that the token is for")(text)
    return {"service_account_token": replace(token, audience=read) if token else ServiceAccountToken(audience=read)}


def _expiration(settings: Settings, text: str) -> Change:
    token = settings.service_account_token
    if token is None:
        raise ValueError("set serviceAccountToken.audience before it")
    return {"service_account_token": replace(token, expiration_seconds=_number(600, 2**32)(text))}


def _user(settings: Settings, text: str) -> Change:
    return {"user": None if text in ("", "null") else _number(1, 2**31 - 1)(text)}


_RESOURCES: Final = ("cpu-request", "cpu-limit", "memory-request", "memory-limit")
_LEVELS: Final = {level: level for level in ("debug", "info", "warning", "error")}
_FORMATS: Final = {form: form for form in ("text", "json")}
_PULLS: Final = {pull: pull for pull in ("Always", "IfNotPresent", "Never")}

ANNOTATIONS: Final[Mapping[str, Read]] = {
    "mode": _to("mode", _one_of({mode.value: mode for mode in Mode})),
    "port": _to("port", parse_port),
    "container": _to("container", _matching(_LABEL, "the name of a container")),
    "policy": lambda settings, text: parse_policy(text),
    "credentials-secret": _to("credentials", _name),
    "native-sidecar": _to("native", _one_of({"auto": None, "true": True, "false": False})),
    "image": _to("image", _matching(_IMAGE, "an image")),
    "image-pull-policy": _to("image_pull_policy", _one_of(_PULLS)),
    "log-level": _to("log_level", _one_of(_LEVELS)),
    "log-format": _to("log_format", _one_of(_FORMATS)),
    **{name: _to_resource(name.replace("-", "_")) for name in _RESOURCES},
    "drain-seconds": _to("drain_seconds", _number(1, MOST_SECONDS)),
    "wait-before-exit-seconds": _to("wait_before_exit_seconds", _seconds),
    "config": _to("config", parse_config),
    "container-patch": _to("container_patch", parse_container_patch),
    "skip-probe-rewrite": _to("rewrite_probes", _one_of({"true": False})),
}
"""What can be said of a pod, by annotations under our prefix, and how each is read."""

VALUES: Final[Mapping[str, Read]] = {
    "image": ANNOTATIONS["image"],
    "imagePullPolicy": ANNOTATIONS["image-pull-policy"],
    "listenPort": _to("listen_port", _own_port),
    "adminPort": _to("admin_port", _own_port),
    "runAsUser": _user,
    "resources.requests.cpu": ANNOTATIONS["cpu-request"],
    "resources.requests.memory": ANNOTATIONS["memory-request"],
    "resources.limits.cpu": ANNOTATIONS["cpu-limit"],
    "resources.limits.memory": ANNOTATIONS["memory-limit"],
    "logLevel": ANNOTATIONS["log-level"],
    "logFormat": ANNOTATIONS["log-format"],
    "drainSeconds": ANNOTATIONS["drain-seconds"],
    "waitBeforeExitSeconds": ANNOTATIONS["wait-before-exit-seconds"],
    "upstreamScheme": _to("upstream_scheme", _one_of({"http": "http", "https": "https"})),
    "serviceAccountToken.audience": _audience,
    "serviceAccountToken.expirationSeconds": _expiration,
    "monitoringNamespace": _to("monitoring_namespace", _matching(_LABEL, "the name of a namespace")),
}
"""What `--set` says of all sidecars, by the keys of the chart's `sidecar`, and how each is read."""

OPTIONS: Final[Mapping[str, Read]] = {
    **{
        name: ANNOTATIONS[name]
        for name in ("mode", "port", "container", "credentials-secret", "native-sidecar", "image")
    },
    "policy-configmap": ANNOTATIONS["policy"],
    "listen-port": VALUES["listenPort"],
}
"""What has an option of its own, and how it is read."""
