"""The enforcer's own responses: rendered once at load, problem bodies (RFC 9457), nothing secret in them. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import Final, NamedTuple

import httptools

from enforcer.errors import UpstreamFailure
from enforcer.policy.decision import Reason
from enforcer.policy.hierarchy import NO_HIERARCHY, ScopeHierarchy
from enforcer.policy.protected_resources import resource_of
from enforcer.policy.rules import Rule
from enforcer.policy.templates import fixed_text
from enforcer.proxy.messages.grpc import content_type_of_call, status_fields
from enforcer.settings.challenge import ChallengeSettings
from enforcer.settings.jwt import ProofSettings
from enforcer.settings.resources import ProtectedResource
from enforcer.settings.token_places import ONLY_BEARER
from enforcer.tokens.challenge import BearerError, DPoPError, basic_challenge, challenge, dpop_challenge

_CLOSE: Final = b"Connection: close\r\n"


class OwnResponse:
    """A response that is complete except for the date; `fields` are field lines without line ends."""

    __slots__ = ("_start", "body", "status")

    def __init__(self, status: int, fields: Sequence[str], body: bytes) -> None:
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *fields, f"Content-Length: {len(body)}", ""]
        self.status = status
        self._start = "\r\n".join(lines).encode()
        self.body = body

    @property
    def permits_pages(self) -> bool:
        """Whether it has a field that permits web pages of other origins to read it."""
        return b"\r\nAccess-Control-Allow-Origin: " in self._start

    def with_lines(self, lines: bytes) -> OwnResponse:
        """Return the response with more field lines."""
        response = OwnResponse(self.status, (), b"")
        response._start = self._start + lines
        response.body = self.body
        return response

    @property
    def length(self) -> int:
        """The size of the body in bytes."""
        return len(self.body)

    def render(
        self, date: bytes, *, close: bool, head_only: bool, http10: bool = False, request_id: bytes = b""
    ) -> bytes:
        """Return the bytes of the response. `date` is a whole Date line; `http10`: to an HTTP/1.0 client."""
        own = _CLOSE if close else b"Connection: keep-alive\r\n" if http10 else b""
        if request_id:
            own += b"X-Request-Id: %b\r\n" % request_id
        return b"%b%b%b\r\n%b" % (self._start, date, own, b"" if head_only else self.body)

    def fields(self, date: bytes, request_id: bytes) -> list[tuple[bytes, bytes]]:
        """Return the field section of the response in HTTP/2; `date` is a whole Date line."""
        section = [(b":status", b"%d" % self.status)]
        own = b"X-Request-Id: %b\r\n" % request_id if request_id else b""
        for line in (self._start.partition(b"\r\n")[2] + date + own).split(b"\r\n")[:-1]:
            name, _, value = line.partition(b": ")
            section.append((name.lower(), value))
        return section


class Refusal(OwnResponse):
    """The response to a denied request, and what it says."""

    __slots__ = ("_fields", "_of_calls", "challenges", "detail", "retry_after")

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        challenges: tuple[str, ...] = (),
        retry_after: int | None = None,
        fields: tuple[str, ...] = (),
    ) -> None:
        title = HTTPStatus(status).phrase
        body = json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail}).encode()
        lines = [*fields, *(f"WWW-Authenticate: {challenge}" for challenge in challenges)]
        if retry_after is not None:
            lines.append(f"Retry-After: {retry_after}")
        super().__init__(status, [*lines, "Content-Type: application/problem+json", "Cache-Control: no-store"], body)
        self.detail = detail
        self.challenges = challenges
        self.retry_after = retry_after
        self._fields = tuple(lines)
        self._of_calls: dict[bytes, OwnResponse] = {}

    def for_request(self, lines: list[bytes]) -> OwnResponse:
        """Return the response to a request with these field lines, in pieces: of another form for a gRPC call."""
        content_type = content_type_of_call(lines)
        if not content_type:
            return self
        response = self._of_calls.get(content_type)
        if response is None:
            fields = [*status_fields(content_type, self.status, self.detail), *self._fields]
            response = self._of_calls[content_type] = OwnResponse(200, fields, b"")
        return response


RefusalByReason = Mapping[Reason, Refusal]
"""The refusal for each reason to deny, except those that depend on the moment (with `Retry-After`)."""


@dataclass(frozen=True, slots=True, eq=False)
class RuleRefusals:
    """The refusals under one rule by the scheme that the token came with; `bearer` also if no token came."""

    bearer: RefusalByReason
    dpop: RefusalByReason


class Refusals:
    """The refusals of one configuration."""

    def __init__(
        self,
        settings: ChallengeSettings,
        proofs: ProofSettings,
        hierarchy: ScopeHierarchy = NO_HIERARCHY,
        resources: Sequence[ProtectedResource] = (),
    ) -> None:
        self._settings = settings
        self._proofs = proofs
        self._hierarchy = hierarchy
        self._resources = resources
        self._writers: dict[tuple[str | None, bool, bool], _RefusalWriter] = {}

    def of(self, rule: Rule | None) -> RuleRefusals:
        """Return the refusals under a rule, None for requests without one; rules with equal needs share them."""
        resource = None if rule is None else resource_of(self._resources, rule)
        metadata = self._settings.resource_metadata if resource is None else resource.metadata_url
        places = ONLY_BEARER if rule is None or rule.token_from is None else rule.token_from
        key = metadata, places.basic, places.bearer or not places.basic
        writer = self._writers.get(key)
        if writer is None:
            settings = replace(self._settings, resource_metadata=metadata)
            writer = self._writers[key] = _RefusalWriter(settings, self._proofs, self._hierarchy, *key[1:])
        return writer.of(rule)


class _RefusalWriter:
    """Writes the refusals whose challenges name the same metadata and the same schemes.

    `offers_basic`: a 401 asks for Basic credentials; `offers_bearer`: challenges of Bearer and DPoP are written.
    """

    def __init__(
        self,
        settings: ChallengeSettings,
        proofs: ProofSettings,
        hierarchy: ScopeHierarchy,
        offers_basic: bool,
        offers_bearer: bool,
    ) -> None:
        self._basic_challenge = basic_challenge(settings) if offers_basic else None
        self._offers_bearer = offers_bearer
        bearer = _Scheme("bound to a key: it is sent with the DPoP scheme and a proof", partial(challenge, settings))
        dpop = _Scheme(
            "not bound to a key: it is sent with the Bearer scheme",
            partial(dpop_challenge, settings, algorithms=proofs.algorithms),
        )
        wrong_proof = (dpop.challenge(DPoPError.INVALID_DPOP_PROOF), bearer.challenge(None))
        self._hierarchy = hierarchy
        self._names_scopes = settings.scope
        self._offered = (bearer, dpop) if proofs.challenge else (bearer,)
        self._bearer = bearer, self._for_every_rule(bearer, dpop, wrong_proof, offers_other=proofs.challenge)
        # RFC 9110 §11.6.1: a 401 names every scheme that would do, and Bearer always does.
        self._dpop = dpop, self._for_every_rule(dpop, bearer, wrong_proof, offers_other=True)
        self._by_needs: dict[_Needs, RuleRefusals] = {}

    def of(self, rule: Rule | None) -> RuleRefusals:
        """Return the refusals under a rule, None for requests without one."""
        needs = _NO_NEEDS if rule is None else _needs(rule)
        refusals = self._by_needs.get(needs)
        if refusals is None:
            bearer, dpop = (
                {reason: self._with_basic(refusal) for reason, refusal in refusals.items()}
                for refusals in (
                    {**common, **self._for_needs(scheme, needs)} for scheme, common in (self._bearer, self._dpop)
                )
            )
            refusals = self._by_needs[needs] = RuleRefusals(bearer, dpop)
        return refusals

    def _with_basic(self, refusal: Refusal) -> Refusal:
        """Return a refusal with the challenges of the schemes that the rule reads."""
        if self._basic_challenge is None:
            return refusal
        basic = (self._basic_challenge,) if refusal.status == 401 else ()
        others = refusal.challenges if self._offers_bearer else ()
        return Refusal(refusal.status, refusal.detail, challenges=(*basic, *others), retry_after=refusal.retry_after)

    def _for_needs(self, scheme: _Scheme, needs: _Needs) -> dict[Reason, Refusal]:
        scopes: list[str] = []
        texts = []
        for all_of, any_of in needs.scopes:
            scopes += _least(self._hierarchy, all_of, any_of)
            one_of = f"one of {' '.join(sorted(any_of))}" if any_of else ""
            texts += [" ".join(sorted(all_of)), one_of]
        needed = ", and ".join(filter(None, texts))
        missing_scope = scheme.challenge(BearerError.INSUFFICIENT_SCOPE, scopes=scopes)
        step_up = scheme.challenge(BearerError.INSUFFICIENT_USER_AUTHENTICATION, login=(needs.acr, needs.max_auth_age))
        refusals = {
            Reason.INSUFFICIENT_SCOPE: Refusal(
                403, f"the token lacks a scope; needed: {needed}", challenges=(missing_scope,)
            ),
            Reason.INSUFFICIENT_AUTHENTICATION: Refusal(
                401, "a stronger or more recent authentication of the user is needed", challenges=(step_up,)
            ),
        }
        if self._names_scopes:
            refusals[Reason.MISSING_TOKEN] = self._missing_token(scopes)
        return refusals

    def _for_every_rule(
        self, scheme: _Scheme, other: _Scheme, wrong_proof: tuple[str, ...], *, offers_other: bool
    ) -> dict[Reason, Refusal]:
        forbidden = Refusal(403, "the token does not meet the rule's conditions")
        unreadable = (scheme.challenge(BearerError.INVALID_REQUEST),)
        wrong_scheme = (scheme.challenge(BearerError.INVALID_TOKEN), other.challenge(None))
        wrong_token = wrong_scheme if offers_other else wrong_scheme[:1]
        return {
            Reason.NO_RULE: Refusal(403, "no rule allows this request"),
            Reason.AMBIGUOUS_PATH: Refusal(400, "the path can be read in ways that different rules apply to"),
            Reason.MISSING_TOKEN: self._missing_token(()),
            Reason.INVALID_REQUEST: Refusal(
                400, "the credentials cannot be read, or there are several", challenges=unreadable
            ),
            Reason.CROSS_SITE_REQUEST: Refusal(
                403, "the token is in a cookie, and another site may have sent the request"
            ),
            **{reason: Refusal(401, detail, challenges=wrong_token) for reason, detail in _INVALID_TOKEN.items()},
            Reason.WRONG_SCHEME: Refusal(401, f"the token is {scheme.mismatch}", challenges=wrong_scheme),
            **{reason: Refusal(401, detail, challenges=wrong_proof) for reason, detail in _INVALID_PROOF.items()},
            Reason.TOO_MANY_WRONG_PROOFS: Refusal(429, "too many DPoP proofs with a wrong signature", retry_after=1),
            Reason.TOO_MANY_PROOFS: Refusal(503, "too many DPoP proofs at once", retry_after=1),
            Reason.CLIENT_MISMATCH: forbidden,
            Reason.CLAIM_MISMATCH: forbidden,
            Reason.OTHER_TARGET: Refusal(403, "a field names a method or target that is not allowed"),
            Reason.NOBODY: Refusal(403, "nobody is allowed to send this request"),
            Reason.REQUEST_MISMATCH: Refusal(403, "the request does not meet the rule's conditions"),
        }

    def _missing_token(self, scopes: Sequence[str]) -> Refusal:
        challenges = tuple(scheme.challenge(None, scopes=scopes) for scheme in self._offered)
        return Refusal(401, "an access token is needed", challenges=challenges)


class _Needs(NamedTuple):
    """The requirements that refusals name: pairs of `scopes` and `any_scope`, and the authentication of the user."""

    scopes: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    acr: tuple[str, ...]
    max_auth_age: float | None


_NO_NEEDS: Final = _Needs((), (), None)


def _needs(rule: Rule) -> _Needs:
    """Return the needs of a rule; of alternatives, those of the first that another scope certainly satisfies."""
    scopes = [(rule.scopes, rule.any_scope)] if rule.scopes or rule.any_scope else []
    scopes += [(option.scopes, option.any_scope) for option in rule.any_of if option.needs_only_scopes][:1]
    return _Needs(tuple(scopes), rule.acr, rule.max_auth_age)


def least_scopes(rule: Rule, hierarchy: ScopeHierarchy) -> list[str]:
    """Return the fewest scopes that a rule needs, as its challenge names them."""
    return [scope for all_of, any_of in _needs(rule).scopes for scope in _least(hierarchy, all_of, any_of)]


def _least(hierarchy: ScopeHierarchy, all_of: Sequence[str], any_of: Sequence[str]) -> list[str]:
    """Return the fewest scopes that would do; those with placeholders depend on the request, and are not named."""
    fixed = [scope for scope in map(fixed_text, all_of) if scope is not None]
    least = hierarchy.least([scope for scope in map(fixed_text, any_of) if scope is not None])
    return fixed if least is None else [*fixed, least]


class _Scheme(NamedTuple):
    """An authentication scheme: what a token is that must not come with it, and a function that writes challenges."""

    mismatch: str
    challenge: Callable[..., str]


_INVALID_TOKEN: Final = {
    Reason.MALFORMED_TOKEN: "the access token is malformed",
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
OUTDATED: Final = Refusal(503, "the configuration changed meanwhile; the request may be sent again", retry_after=1)
OVERLOADED: Final = Refusal(503, "too many requests at once", retry_after=1)
UPSTREAM: Final = {
    UpstreamFailure.TIMEOUT: Refusal(504, "the upstream took too long"),
    UpstreamFailure.UNAVAILABLE: Refusal(502, "the upstream cannot be reached"),
    UpstreamFailure.MALFORMED: Refusal(502, "the upstream's response cannot be read"),
    UpstreamFailure.OVERLOADED: OVERLOADED,
    UpstreamFailure.STREAMS: Refusal(503, "too many streams at once", retry_after=1),
}


def malformed(why: str, status: int = 400) -> Refusal:
    """Return the refusal of a request that cannot be read in exactly one way; `why` contains no value of it."""
    return Refusal(status, why)


def too_many_unseen_tokens(retry_after: int) -> Refusal:
    """Return the refusal for a client that sends too many unseen tokens (RFC 6585 §4)."""
    return Refusal(429, "too many access tokens that were not seen before", retry_after=retry_after)


def not_verified(retry_after: int) -> Refusal:
    """Return the refusal for a token that no authorization server could verify."""
    return Refusal(503, "the authorization server could not verify the token", retry_after=retry_after)


def unparsable(error: httptools.HttpParserError, *, target_too_long: bool) -> Refusal:
    """Return the refusal of bytes that the parser rejects; `target_too_long`: while it read too long a target."""
    if isinstance(error, httptools.HttpParserCallbackError):
        return INTERNAL
    if isinstance(error, httptools.HttpParserInvalidMethodError):
        return malformed("request line: unknown method", 501)
    if target_too_long:
        return TARGET_TOO_LONG
    return malformed("not valid HTTP/1.1 (RFC 9112)")


_REFLECTED: Final = frozenset({b"host", b"max-forwards", b"via"})
_OPTIONS: Final = OwnResponse(200, (), b"")


def at_last_hop(method: bytes, target: bytes, lines: Sequence[bytes], *, http10: bool) -> OwnResponse:
    """Return the response to an allowed OPTIONS or TRACE with `Max-Forwards: 0` (RFC 9110 §7.6.2).

    TRACE is answered with the request as it arrived (RFC 9110 §9.3.8), of its fields only those that describe its route
    and no credentials. `lines` are field lines in pieces.
    """
    if method == b"OPTIONS":
        return _OPTIONS
    reflected = b"".join(
        b"".join(lines[index : index + 4]) for index in range(0, len(lines), 4) if lines[index].lower() in _REFLECTED
    )
    version = b"1.0" if http10 else b"1.1"
    message = b"%b %b HTTP/%b\r\n%b\r\n" % (method, target, version, reflected)
    return OwnResponse(200, ("Content-Type: message/http", "Cache-Control: no-store"), message)
