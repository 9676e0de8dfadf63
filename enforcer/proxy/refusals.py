"""The answers that are the enforcer's own: written once at load, as problem JSON (RFC 9457), nothing secret in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Final, NamedTuple

from enforcer.errors import UpstreamFailure
from enforcer.policy.decision import Reason
from enforcer.policy.rules import Rule
from enforcer.settings.challenge import ChallengeSettings
from enforcer.settings.jwt import ProofSettings
from enforcer.tokens.challenge import BearerError, DPoPError, challenge, dpop_challenge

_CLOSE: Final = b"Connection: close\r\n"


class OwnAnswer:
    """One answer, ready but for its date; `fields` are field lines without their ends."""

    __slots__ = ("_body", "_start", "status")

    def __init__(self, status: int, fields: Sequence[str], body: bytes) -> None:
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *fields, f"Content-Length: {len(body)}", ""]
        self.status = status
        self._start = "\r\n".join(lines).encode()
        self._body = body

    def render(self, date: bytes, *, close: bool, head_only: bool, old: bool = False, request_id: bytes = b"") -> bytes:
        """Write the answer. `date` is a whole Date line; `old`: an HTTP/1.0 client that wants its connection kept."""
        own = _CLOSE if close else b"Connection: keep-alive\r\n" if old else b""
        if request_id:
            own += b"X-Request-Id: %b\r\n" % request_id
        return b"%b%b%b\r\n%b" % (self._start, date, own, b"" if head_only else self._body)


class Refusal(OwnAnswer):
    """An answer to a request that is not forwarded, and what it says."""

    __slots__ = ("challenges", "detail", "retry_after")

    def __init__(
        self, status: int, detail: str, *, challenges: tuple[str, ...] = (), retry_after: int | None = None
    ) -> None:
        title = HTTPStatus(status).phrase
        body = json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail}).encode()
        fields = [f"WWW-Authenticate: {challenge}" for challenge in challenges]
        if retry_after is not None:
            fields.append(f"Retry-After: {retry_after}")
        super().__init__(status, [*fields, "Content-Type: application/problem+json", "Cache-Control: no-store"], body)
        self.detail = detail
        self.challenges = challenges
        self.retry_after = retry_after


Answers = Mapping[Reason, Refusal]
"""How each reason to deny is answered, but for those of the moment."""


@dataclass(frozen=True, slots=True, eq=False)
class RuleRefusals:
    """How requests are refused under one rule: by the scheme that the token came with, Bearer where none came."""

    bearer: Answers
    dpop: Answers


class Refusals:
    """How a configuration answers what it denies."""

    def __init__(self, settings: ChallengeSettings, proofs: ProofSettings) -> None:
        bearer = _Scheme("bound to a key: it is sent with the DPoP scheme and a proof", partial(challenge, settings))
        dpop = _Scheme(
            "not bound to a key: it is sent with the Bearer scheme",
            partial(dpop_challenge, settings, algorithms=proofs.algorithms),
        )
        wrong_proof = (dpop.challenge(DPoPError.INVALID_DPOP_PROOF), bearer.challenge(None))
        self._names_scopes = settings.scope
        self._offered = (bearer, dpop) if proofs.challenge else (bearer,)
        self._bearer = bearer, self._of_every_rule(bearer, dpop, wrong_proof, offers_other=proofs.challenge)
        # RFC 9110 §11.6.1: a 401 names every scheme that would do, and Bearer always does.
        self._dpop = dpop, self._of_every_rule(dpop, bearer, wrong_proof, offers_other=True)
        self._prepared: dict[tuple[tuple[str, ...], ...], RuleRefusals] = {}

    def of(self, rule: Rule | None) -> RuleRefusals:
        """Return how each reason is answered under a rule; rules that need the same scopes are answered alike."""
        all_of, any_of = ((), ()) if rule is None else (rule.scopes, rule.any_scope)
        found = self._prepared.get((all_of, any_of))
        if found is None:
            bearer, dpop = (
                {**every, **self._of_scopes(scheme, all_of, any_of)} for scheme, every in (self._bearer, self._dpop)
            )
            found = self._prepared[all_of, any_of] = RuleRefusals(bearer, dpop)
        return found

    def _of_scopes(self, scheme: _Scheme, all_of: Sequence[str], any_of: Sequence[str]) -> dict[Reason, Refusal]:
        scopes = (*all_of, *any_of)
        one_of = f"one of {' '.join(sorted(any_of))}" if any_of else ""
        needed = ", and ".join(filter(None, (" ".join(sorted(all_of)), one_of)))
        lacks = f"the token lacks a scope; needed: {needed}"
        found = {
            Reason.INSUFFICIENT_SCOPE: Refusal(
                403, lacks, challenges=(scheme.challenge(BearerError.INSUFFICIENT_SCOPE, scopes=scopes),)
            )
        }
        if self._names_scopes:
            found[Reason.MISSING_TOKEN] = self._missing(scopes)
        return found

    def _of_every_rule(
        self, scheme: _Scheme, other: _Scheme, wrong_proof: tuple[str, ...], *, offers_other: bool
    ) -> dict[Reason, Refusal]:
        forbidden = Refusal(403, "the token does not meet the rule's conditions")
        unread = (scheme.challenge(BearerError.INVALID_REQUEST),)
        wrong_scheme = (scheme.challenge(BearerError.INVALID_TOKEN), other.challenge(None))
        wrong_token = wrong_scheme if offers_other else wrong_scheme[:1]
        return {
            Reason.NO_RULE: Refusal(403, "no rule allows this request"),
            Reason.MISSING_TOKEN: self._missing(()),
            Reason.INVALID_REQUEST: Refusal(
                400, "the credentials cannot be read, or there are several", challenges=unread
            ),
            **{reason: Refusal(401, detail, challenges=wrong_token) for reason, detail in _INVALID_TOKEN.items()},
            Reason.WRONG_SCHEME: Refusal(401, f"the token is {scheme.unfit}", challenges=wrong_scheme),
            **{reason: Refusal(401, detail, challenges=wrong_proof) for reason, detail in _INVALID_PROOF.items()},
            Reason.TOO_MANY_WRONG_PROOFS: Refusal(429, "too many DPoP proofs with a wrong signature", retry_after=1),
            Reason.TOO_MANY_PROOFS: Refusal(503, "too many DPoP proofs at once", retry_after=1),
            Reason.CLIENT_MISMATCH: forbidden,
            Reason.CLAIM_MISMATCH: forbidden,
        }

    def _missing(self, scopes: Sequence[str]) -> Refusal:
        challenges = tuple(scheme.challenge(None, scopes=scopes) for scheme in self._offered)
        return Refusal(401, "an access token is needed", challenges=challenges)


class _Scheme(NamedTuple):
    """A scheme by which a token comes: what a token is that must not come so, and what writes its challenges."""

    unfit: str
    challenge: Callable[..., str]


_INVALID_TOKEN: Final = {
    Reason.MALFORMED_TOKEN: "this is no access token",
    Reason.INACTIVE_TOKEN: "the token is not active",
    Reason.EXPIRED_TOKEN: "the token has expired",
    Reason.NOT_YET_VALID: "the token is not valid yet",
    Reason.UNPROVEN_TOKEN: "the token is bound to a key or certificate, and possession of it was not proven",
    Reason.WRONG_ISSUER: "the token is from another issuer",
    Reason.WRONG_AUDIENCE: "the token is for another audience",
}
_INVALID_PROOF: Final = {
    Reason.MISSING_PROOF: "the DPoP scheme needs a DPoP field",
    Reason.INVALID_PROOF: "the DPoP proof cannot be read or verified, or there are several",
    Reason.MISMATCHED_PROOF: "the DPoP proof is for another method, URL or token (htm, htu, ath)",
    Reason.STALE_PROOF: "the DPoP proof is too old, or from the future (iat)",
    Reason.REPLAYED_PROOF: "the DPoP proof was used before (jti)",
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
