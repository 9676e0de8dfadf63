"""The policy file of `inject --policy`: checks that a sidecar can use it, and returns the data of a ConfigMap."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from enforcer.config.documents.document import Step, parse
from enforcer.config.documents.rule_files import MAX_BYTES
from enforcer.config.documents.sources import read
from enforcer.config.load import load_with_document
from enforcer.config.merged_document import MergedDocument
from enforcer.config.overrides import Override, parse_override
from enforcer.config.validate.warnings import is_loopback
from enforcer.errors import ConfigError, Problem
from enforcer.kubernetes import names
from enforcer.kubernetes.settings import KEY, Settings
from enforcer.kubernetes.sidecar import Sidecar, container

_VARIABLES: Final = ("ENFORCER_CLIENT_ID", "ENFORCER_CLIENT_SECRET")
_FOLDERS: Final = (f"{names.CREDENTIALS_FOLDER}/", f"{names.TOKEN_FOLDER}/")
_SECTIONS: Final = ("admin", "authorization_servers")
"""Sections that refer to secrets."""


def read_policy(path: Path, settings: Settings) -> tuple[Mapping[str, str], Settings, Sequence[Problem]]:
    """Return the policy's files by name, the settings with the app's scheme, and warnings.

    Raises ConfigError.
    """
    settings = _with_upstream(path, settings)
    loaded, document = load_with_document(path, None, _overrides(settings))
    others = sorted(file for file in loaded.files if file.is_file() and file != path.absolute())
    missing = _missing_files(document, path.parent)
    if problems := [*_missing_secrets(document), *missing, *_excluded_files(path.absolute(), others)]:
        raise ConfigError(problems)
    texts = {other.name: other.read_text("utf-8") for other in others}
    return {settings.policy_key: path.read_text("utf-8"), **texts}, settings, [*_servers_in_pod(document)]


def _with_upstream(path: Path, settings: Settings) -> Settings:
    """Return the settings with the scheme and the protocol of the app, as far as the policy sets them."""
    try:
        upstream = parse(str(path), read(path, MAX_BYTES)).values.get("upstream")
    except ValueError:
        return settings
    values = upstream if isinstance(upstream, dict) else {}
    if str(values.get("url")).startswith("https://"):
        settings = replace(settings, upstream_scheme="https")
    if isinstance(protocol := values.get("protocol"), str):
        settings = replace(settings, config={"upstream.protocol": json.dumps(protocol), **settings.config})
    return settings


def _overrides(settings: Settings) -> list[Override]:
    """Return the overrides that the sidecar's arguments will set."""
    sidecar = Sidecar(
        image=settings.image,
        mode=settings.mode,
        native=True,
        app_port=8080,
        policy="policy",
        credentials="credentials",
        upstream_scheme=settings.upstream_scheme,
        settings=settings.config,
    )
    arguments = [item.removeprefix("--set=") for item in container(sidecar)["args"] if item.startswith("--set=")]
    return [parse_override(argument.replace("$(POD_IPS)", "127.0.0.1")) for argument in arguments]


def _servers_in_pod(document: MergedDocument) -> Iterator[Problem]:
    """Yield a warning for each authorization server with a loopback address, which would be in the pod itself."""
    servers = document.values.get("authorization_servers")
    for index, server in enumerate(servers if isinstance(servers, list) else ()):
        for key, value in server.items():
            host = urlsplit(value).hostname or "" if isinstance(value, str) and "://" in value else ""
            if is_loopback(host) or host.endswith(".localhost"):
                message = f"{value} is in the pod itself for a sidecar; use an address that pods can reach"
                yield document.problem(("authorization_servers", index, key), message)


def _missing_secrets(document: MergedDocument) -> Iterator[Problem]:
    """Yield an error for each secret in a place that a sidecar does not have."""
    for section in _SECTIONS:
        for path, place in _places(document.values.get(section), (section,)):
            ((kind, where),) = place.items()
            if where not in _VARIABLES if kind == "env" else not where.startswith(_FOLDERS):
                message = (
                    f"a sidecar's secrets come from its Secret: use {{env: {_VARIABLES[1]}}} for its "
                    f"{names.CLIENT_SECRET_KEY}, or {{file: {_FOLDERS[0]}KEY}} for any of its keys"
                )
                yield document.problem((*path, kind), message)


def _missing_files(document: MergedDocument, folder: Path) -> Iterator[Problem]:
    """Yield an error for each file of TLS that does not exist: it could not be put into the policy's ConfigMap."""
    for section in ("listener", "upstream", "upstreams", "authorization_servers"):
        for path, name in _tls_files(document.values.get(section), (section,)):
            if not (folder / name).exists():
                yield document.problem(path, f"{folder / name} does not exist")


def _tls_files(value: Any, path: tuple[Step, ...]) -> Iterator[tuple[tuple[Step, ...], str]]:
    if isinstance(value, list):
        for index, member in enumerate(value):
            yield from _tls_files(member, (*path, index))
    elif isinstance(value, dict):
        for key, member in value.items():
            if path[-1] == "tls" and key in ("ca", "certificate", "key", "client_ca") and isinstance(member, str):
                yield (*path, key), member
            else:
                yield from _tls_files(member, (*path, key))


def _places(value: Any, path: tuple[Step, ...]) -> Iterator[tuple[tuple[Step, ...], Mapping[str, str]]]:
    if isinstance(value, dict):
        if len(value) == 1 and value.keys() <= {"env", "file"}:
            yield path, value
        for key, member in value.items():
            yield from _places(member, (*path, key))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _places(member, (*path, index))


def _excluded_files(policy: Path, others: Iterable[Path]) -> Iterator[Problem]:
    """Yield an error for each file that cannot be in the policy's ConfigMap."""
    for other in others:
        if other.parent != policy.parent or not KEY.fullmatch(other.name):
            yield Problem(str(other), 0, 0, "", "put it into the policy's folder, to be in the same ConfigMap")
        elif "PRIVATE KEY" in other.read_text("utf-8", "replace"):
            yield Problem(str(other), 0, 0, "", "a private key must not be in a ConfigMap; use --policy-configmap")
