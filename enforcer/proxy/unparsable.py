"""How bytes that the parser does not take are answered."""

from __future__ import annotations

import logging
from typing import Final

import httptools

from enforcer.proxy import refusals
from enforcer.proxy.refusals import Refusal

_log: Final = logging.getLogger("enforcer.proxy")


def refusal_to(error: httptools.HttpParserError, *, target_too_long: bool) -> Refusal:
    """Return the answer to what the parser gave up with this error, within a target that was too long by then."""
    if isinstance(error, httptools.HttpParserCallbackError):
        _log.error("internal error", exc_info=error.__context__)
        return refusals.INTERNAL
    if isinstance(error, httptools.HttpParserInvalidMethodError):
        return refusals.malformed("request line: unknown method", 501)
    if target_too_long:
        return refusals.TARGET_TOO_LONG
    return refusals.malformed("not HTTP/1.1 as RFC 9112 has it")
