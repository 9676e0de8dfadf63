"""The policy that is given to `inject` as a file: whether a sidecar can use it, and what goes into a ConfigMap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from enforcer.config.document import Step, parse
from enforcer.config.load import load_with_document
from enforcer.config.merged_document import MergedDocument
from enforcer.config.overrides import Override, parse_override
from enforcer.config.rule_files import MOST_BYTES
from enforcer.config.sources import read
from enforcer.config.validate.warnings import is_loopback
from enforcer.errors import ConfigError, Problem
from enforcer.kubernetes import names
from enforcer.kubernetes.settings import KEY, Settings
from enforcer.kubernetes.sidecar import Sidecar, container

_VARIABLES: Final = ("ENFORCER_CLIENT_ID", "ENFORCER_CLIENT_SECRET")
_FOLDERS: Final = (f"{names.CREDENTIALS_FOLDER}/", f"{names.TOKEN_FOLDER}/")
_SECTIONS: Final = ("admin", "authorization_servers")
"""Those that say where secrets are."""


def read_policy(path: Path, settings: Settings) -> tuple[Mapping[str, str], Settings, Sequence[Problem]]:
    """Return a policy's files by their names, the settings with what it says of the app, and doubts of it.

    Raises ConfigError.
    """
    settings = replace(settings, upstream_scheme=_scheme(path, settings))
    loaded, whole = load_with_document(path, None, _overrides(settings))
    others = sorted(one for one in loaded.files if one.is_file() and one != path.absolute())
    if problems := [*_unreachable(whole), *_misplaced(path.absolute(), others)]:
        raise ConfigError(problems)
    texts = {other.name: other.read_text("utf-8") for other in others}
    return {settings.policy_key: path.read_text("utf-8"), **texts}, settings, [*_nowhere(whole)]


def _scheme(path: Path, settings: Settings) -> str:
    try:
        values = parse(str(path), read(path, MOST_BYTES)).values
    except ValueError:
        return settings.upstream_scheme
    upstream = values.get("upstream")
    url = upstream.get("url") if isinstance(upstream, dict) else None
    return "https" if isinstance(url, str) and url.startswith("https://") else settings.upstream_scheme


def _overrides(settings: Settings) -> list[Override]:
    """Say what a sidecar will say beside the file."""
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
    said = [one.removeprefix("--set=") for one in container(sidecar)["args"] if one.startswith("--set=")]
    return [parse_override(one.replace("$(POD_IPS)", "127.0.0.1")) for one in said]


def _nowhere(whole: MergedDocument) -> Iterator[Problem]:
    """Tell of authorization servers that would have to be in the pod."""
    servers = whole.values.get("authorization_servers")
    for at, server in enumerate(servers if isinstance(servers, list) else ()):
        for key, value in server.items():
            if isinstance(value, str) and "://" in value and _is_inside(urlsplit(value).hostname or ""):
                message = f"{value} is in the pod itself there; name the authorization server as pods reach it"
                yield whole.problem(("authorization_servers", at, key), message)


def _is_inside(host: str) -> bool:
    return is_loopback(host) or host.endswith(".localhost")


def _unreachable(whole: MergedDocument) -> Iterator[Problem]:
    """Tell of secrets that are where a sidecar has none."""
    for section in _SECTIONS:
        for path, place in _places(whole.values.get(section), (section,)):
            ((kind, where),) = place.items()
            if where not in _VARIABLES if kind == "env" else not where.startswith(_FOLDERS):
                message = (
                    f"a sidecar has its secrets as files of the Secret: {{env: {_VARIABLES[1]}}} is its "
                    f"{names.CLIENT_SECRET_KEY}, and {{file: {_FOLDERS[0]}KEY}} any of its keys"
                )
                yield whole.problem((*path, kind), message)


def _places(value: Any, path: tuple[Step, ...]) -> Iterator[tuple[tuple[Step, ...], Mapping[str, str]]]:
    if isinstance(value, dict):
        if len(value) == 1 and value.keys() <= {"env", "file"}:
            yield path, value
        for key, member in value.items():
            yield from _places(member, (*path, key))
    elif isinstance(value, list):
        for at, member in enumerate(value):
            yield from _places(member, (*path, at))


def _misplaced(policy: Path, others: Iterable[Path]) -> Iterator[Problem]:
    """Tell of files that cannot go with the policy."""
    for other in others:
        if other.parent != policy.parent or not KEY.fullmatch(other.name):
            yield Problem(str(other), 0, 0, "", "keep it beside the policy, so that it can be in its ConfigMap")
        elif "PRIVATE KEY" in other.read_text("utf-8", "replace"):
            yield Problem(str(other), 0, 0, "", "a private key has no place in a ConfigMap; use --policy-configmap")
