"""The option `--kube-version`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from enforcer.cli._options import Parsed

_OLDEST: Final = (1, 29)
_VERSION: Final = re.compile(r"v?([0-9]{1,3})\.([0-9]{1,3})(?:[.+-].*)?")

F = TypeVar("F", bound=Callable[..., Any])


def kube_version_option(text: str) -> Callable[[F], F]:
    """Return the option, with its help."""
    oldest = ".".join(map(str, _OLDEST))
    return click.option(
        "--kube-version", type=Parsed("VERSION", _version), default=oldest, show_default=True, help=text
    )


def _version(text: str) -> tuple[int, int]:
    match = _VERSION.fullmatch(text)
    if match is None:
        raise ValueError("expected a version of Kubernetes, such as 1.33")
    parsed = int(match[1]), int(match[2])
    if parsed < _OLDEST:
        raise ValueError(f"expected {'.'.join(map(str, _OLDEST))}, the oldest supported version, or later")
    return parsed
