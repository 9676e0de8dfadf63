"""The answers that are the enforcer's own: written once at load, as problem JSON (RFC 9457), nothing secret in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from enforcer.errors import UpstreamFailure
from enforcer.policy.decision import Reason
from enforcer.policy.rules import Rule
from enforcer.tokens.challenge import BearerError, ChallengeSettings, challenge

_CLOSE: Final = b"Connection: close\r\n"


class OwnAnswer:
    """One answer, ready but for its date; `fields` are field lines without their ends."""

    __slots__ = ("_body", "_start", "status")

    def __init__(self, status: int, fields: Sequence[str], body: bytes) -> None:
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *fields, f"Content-Length: {len(body)}", ""]
        self.status = status
        self._start = "\r\n".join(lines).encode()
        self._body = body

    def render(self, date: bytes, *, close: bool, head_only: bool, old: bool = False) -> bytes:
        """Write the answer. `date` is a whole Date line; `old`: an HTTP/1.0 client that wants its connection kept."""
        connection = _CLOSE if close else b"Connection: keep-alive\r\n" if old else b""
        return b"%b%b%b\r\n%b" % (self._start, date, connection, b"" if head_only else self._body)


class Refusal(OwnAnswer):
    """An answer to a request that is not forwarded, and what it says."""

    __slots__ = ("challenge", "detail", "retry_after")

    def __init__(
        self, status: int, detail: str, *, challenge: str | None = None, retry_after: int | None = None
    ) -> None:
        title = HTTPStatus(status).phrase
        body = json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail}).encode()
        fields = []
        if challenge is not None:
            fields.append(f"WWW-Authenticate: {challenge}")
        if retry_after is not None:
            fields.append(f"Retry-After: {retry_after}")
        super().__init__(status, [*fields, "Content-Type: application/problem+json", "Cache-Control: no-store"], body)
        self.detail = detail
        self.challenge = challenge
        self.retry_after = retry_after


class RuleRefusals:
    """How each reason to deny is answered under one rule."""

    __slots__ = ("_by_reason",)

    def __init__(self, rule: Rule | None, settings: ChallengeSettings) -> None:
        scopes = () if rule is None else (*rule.scopes, *rule.any_scope)
        bare = challenge(settings, None, scopes if settings.scope else ())
        wrong_token = challenge(settings, BearerError.INVALID_TOKEN)
        all_of = " ".join(sorted(rule.scopes)) if rule is not None else ""
        one_of = " ".join(sorted(rule.any_scope)) if rule is not None else ""
        needed = ", and ".join(filter(None, (all_of, one_of and f"one of {one_of}")))
        forbidden = Refusal(403, "the token does not meet the rule's conditions")
        self._by_reason = {
            Reason.NO_RULE: Refusal(403, "no rule allows this request"),
            Reason.MISSING_TOKEN: Refusal(401, "an access token is needed", challenge=bare),
            Reason.INVALID_REQUEST: Refusal(
                400,
                "the credentials cannot be read, or there are several",
                challenge=challenge(settings, BearerError.INVALID_REQUEST),
            ),
            Reason.INSUFFICIENT_SCOPE: Refusal(
                403,
                f"the token lacks a scope; needed: {needed}",
                challenge=challenge(settings, BearerError.INSUFFICIENT_SCOPE, scopes),
            ),
            Reason.CLIENT_MISMATCH: forbidden,
            Reason.CLAIM_MISMATCH: forbidden,
        }
        for reason, detail in _INVALID_TOKEN.items():
            self._by_reason[reason] = Refusal(401, detail, challenge=wrong_token)

    def __getitem__(self, reason: Reason) -> Refusal:
        return self._by_reason[reason]


_INVALID_TOKEN: Final = {
    Reason.MALFORMED_TOKEN: "this is no access token",
    Reason.INACTIVE_TOKEN: "the token is not active",
    Reason.EXPIRED_TOKEN: "the token has expired",
    Reason.NOT_YET_VALID: "the token is not valid yet",
    Reason.UNPROVEN_TOKEN: "the token is bound to a key, and possession of it was not proven",
    Reason.WRONG_ISSUER: "the token is from another issuer",
    Reason.WRONG_AUDIENCE: "the token is for another audience",
}

TOO_LARGE: Final = Refusal(413, "the body is too large")
TARGET_TOO_LONG: Final = Refusal(414, "the request target is too long")
HEAD_TOO_LARGE: Final = Refusal(431, "the head is too large, or has too many fields")
TOKEN_TOO_LARGE: Final = Refusal(431, "the access token is too large")
TIMEOUT: Final = Refusal(408, "the request took too long to arrive")
INTERNAL: Final = Refusal(500, "an error of the authorization proxy; the request was not forwarded")
OVERLOADED: Final = Refusal(503, "too many requests at once", retry_after=1)
UPSTREAM: Final = {
    UpstreamFailure.TIMEOUT: Refusal(504, "the upstream took too long"),
    UpstreamFailure.UNAVAILABLE: Refusal(502, "the upstream cannot be reached"),
    UpstreamFailure.MALFORMED: Refusal(502, "the upstream's answer cannot be read"),
    UpstreamFailure.OVERLOADED: OVERLOADED,
}


def malformed(why: str, status: int = 400) -> Refusal:
    """Make the answer to a request that cannot be read in one way; `why` names no value of the request."""
    return Refusal(status, why)


def too_many(retry_after: int) -> Refusal:
    """Make the answer to a client that sends too many tokens never seen before (RFC 6585 §4)."""
    return Refusal(429, "too many access tokens that were not seen before", retry_after=retry_after)


def introspection_failed(retry_after: int) -> Refusal:
    """Make the answer for when nobody says what a token is worth."""
    return Refusal(503, "the authorization server does not say what the token is worth", retry_after=retry_after)
