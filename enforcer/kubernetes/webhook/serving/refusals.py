"""Counts refusals, and logs them. The log counts equal ones, so that strangers cause few lines."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final

_log = logging.getLogger("enforcer.webhook.refusals")

LIMIT: Final = 0
"""The status of a connection that was closed without a response, because it exceeded a limit."""

REASONS: Final[Mapping[int, str]] = {
    LIMIT: "connection_limit",
    HTTPStatus.BAD_REQUEST: "malformed",
    HTTPStatus.FORBIDDEN: "unauthenticated",
    HTTPStatus.METHOD_NOT_ALLOWED: "malformed",
    HTTPStatus.REQUEST_TIMEOUT: "too_slow",
    HTTPStatus.LENGTH_REQUIRED: "malformed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too_large",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "too_large",
    HTTPStatus.SERVICE_UNAVAILABLE: "overloaded",
}
"""The reason of each status, a metric label."""


class Refusals:
    """The refusals of a listener; `count` is called with its name and the reason of each."""

    def __init__(self, listener: str, count: Callable[[str, str], None]) -> None:
        self._listener = listener
        self._count = count

    def __call__(self, status: int, peer: str) -> None:
        """Count and log a refusal."""
        reason = REASONS[status]
        self._count(self._listener, reason)
        _log.warning("%s from %s", f"{self._listener}: refused as {reason}", peer)
