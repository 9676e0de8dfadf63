"""Findings about the verification of a token by one server: its way, its outcome, and what to change. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from enforcer.doctor import diagnosis, response_checks
from enforcer.doctor.diagnosis import Finding, ServerResponse, right, wrong
from enforcer.doctor.recorder import Result
from enforcer.doctor.token.claims import listed, shortened
from enforcer.errors import IntrospectionError, IntrospectionFailure, UpstreamError
from enforcer.settings.authorization_server import AuthorizationServer
from enforcer.tokens.claims import KIND_CLAIMS, ActiveToken, ScopeClaims, gives_access
from enforcer.tokens.documents.strict_json import read_object
from enforcer.tokens.introspection.response import InactiveToken, IntrospectionOutcome, from_members
from enforcer.tokens.jwt import jws
from enforcer.tokens.jwt.fault import EXPLANATIONS, JwtFault, RejectedToken
from enforcer.wire.http_client import RESPONSE_TOO_LARGE

SUBJECT: Final = "verification"
_INACTIVE: Final = (
    "get a new token; if this one is new, the server must let the enforcer's client introspect tokens of other clients"
)
_ABOVE: Final = "if a check of that server failed too, begin there"
_ADVICE: Final[Mapping[JwtFault, str]] = {
    JwtFault.MALFORMED: "have the server issue signed JWTs (JWS) without crit, or set verify: introspect",
    JwtFault.TYPE: "send the access token; if this is one, set jwt.any_typ: true, and audience",
    JwtFault.KEY: "get a new token; if this one is new, compare the server's kid with the keys at jwks_uri",
    JwtFault.SIGNATURE: "get a new token; if this one is new, the server signs with another key than it publishes",
    JwtFault.CLAIMS: "see the claims below",
    JwtFault.NO_EXPIRY: "have the server write exp (RFC 9068 §2.2)",
    JwtFault.ISSUER: "set issuer to the iss of its tokens, if it is the same server; otherwise get a token of this one",
    JwtFault.EXPIRED: "get a new token",
    JwtFault.NOT_YET_VALID: "synchronise both machines (NTP), or raise jwt.clock_skew",
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Verification:
    """The verification of a token by one server.

    `introspection` is the result of the introspection request, None if none was sent. `later` is whether a server was
    tried afterwards, because this one does not know the token.
    """

    token: bytes
    server: AuthorizationServer
    outcome: IntrospectionOutcome
    introspection: Result | None
    later: bool = False

    @property
    def signed(self) -> bool:
        """Whether the token is verified as a JWT, and not introspected."""
        return self.server.verify != "introspect" and jws.looks_like_jwt(self.token)

    def members(self) -> Mapping[str, Any]:
        """Return the members of an introspection response for an active token, otherwise the claims of a JWT."""
        members = _response_members(self.introspection)
        if members.get("active") is True:
            return members
        return _claims(self.token) if jws.looks_like_jwt(self.token) else {}


def findings(verification: Verification) -> list[Finding]:
    """Return how a token was verified, with which outcome, and how long the server took."""
    outcome, server, introspection = verification.outcome, verification.server, verification.introspection
    if isinstance(outcome, RejectedToken):
        return [_rejected(verification, outcome.fault)]
    if isinstance(outcome, ActiveToken):
        way = "verified with the keys of" if verification.signed else "introspected at"
        details = [right(SUBJECT, f"active: {_form(verification.token)}, {way} {_named(server)}")]
    elif isinstance(outcome, InactiveToken):
        details = [_inactive(verification)]
    elif isinstance(introspection, ServerResponse):
        details = [_unusable_response(outcome, introspection, server)]
    else:
        details = [_no_response(outcome, introspection, server)]
    if isinstance(introspection, ServerResponse):
        details.append(diagnosis.answer_time(introspection.received - introspection.sent, server.timeout))
    return details


def no_server(token: bytes) -> Finding:
    """Return the finding for a JWT that is sent to no server, because of its issuer."""
    issuer = jws.unverified_issuer(token)
    if issuer is None:
        advice = "have the server write iss (RFC 9068 §2.2)"
        return wrong(SUBJECT, "a JWT without iss, which is sent to no server", advice)
    advice = f"get a token of a configured server; if it is one, set its issuer to {shortened(issuer)}"
    return wrong(SUBJECT, f"its iss is {shortened(issuer)}, the issuer of no server: it is sent to none", advice)


def _named(server: AuthorizationServer) -> str:
    return f"authorization server {server.name}"


def _form(token: bytes) -> str:
    header = _header(token)
    if not header:
        return "an opaque token"
    texts = [f"{name} {_text(header[name])}" for name in ("typ", "alg", "kid") if header.get(name) is not None]
    return f"a JWT ({listed(texts)})"


def _text(value: object) -> str:
    return shortened(value) if isinstance(value, str) else "which is not a text"


def _rejected(verification: Verification, fault: JwtFault) -> Finding:
    server, token = verification.server, verification.token
    if not jws.looks_like_jwt(token):
        advice = "set verify: jwt_then_introspect, client_id and client_secret; or have the server issue JWTs"
        return wrong(SUBJECT, f"an opaque token, and {_named(server)} has verify: jwt, which accepts only JWTs", advice)
    text, advice = EXPLANATIONS[fault], _ADVICE.get(fault, "get a new token")
    header = _header(token)
    if fault is JwtFault.ALGORITHM:
        algorithm = _text(header.get("alg"))
        text = f"{text}, but {algorithm}"
        symmetric = algorithm.startswith("HS") or algorithm == "none"
        advice = f"add {algorithm} to jwt.algorithms"
        if symmetric:
            advice = "have the server sign with an asymmetric key, or set verify: introspect"
    elif fault is JwtFault.ISSUER:
        text = f"{text}: {_text(_claims(token).get('iss'))}, and not {server.issuer}"
    return wrong(SUBJECT, f"{_form(token)}, rejected for {_named(server)} ({fault}): {text}", advice)


def _inactive(verification: Verification) -> Finding:
    name, response = _named(verification.server), verification.introspection
    members = _response_members(response)
    if members.get("active") is True:
        # `issuers` and `claims.gives_access` reject what the server accepts.
        issuer = members.get("iss")
        kinds = [kind for kind in KIND_CLAIMS if not gives_access({kind: members.get(kind)})]
        cause = f"its {listed(kinds)} says that it is not an access token" if kinds else f"its iss is {_text(issuer)}"
        text = f"{name} reports it as active, but it is not accepted: {cause}"
        return wrong(SUBJECT, text, "send an access token that this server issued")
    status = "" if not isinstance(response, ServerResponse) or response.status == 200 else f" ({response.status})"
    text = f"{_form(verification.token)}, introspected: {name} reports it as inactive{status}"
    if verification.later:
        return right(SUBJECT, f"{text}; the next server is asked")
    return wrong(SUBJECT, text, _INACTIVE)


def _unusable_response(error: IntrospectionError, response: ServerResponse, server: AuthorizationServer) -> Finding:
    """Return the finding for a response that does not say whether the token is active."""
    if error.reason is IntrospectionFailure.REFUSED:
        text = f"{_named(server)} refuses to introspect this token: {error.detail}"
        advice = "let the enforcer's client introspect tokens of other clients, at the server"
        return wrong(SUBJECT, text, f"{_ABOVE}; otherwise {advice}")
    if response.status != 200:
        text = f"{_named(server)} responds to this token with {response.status}"
        return wrong(SUBJECT, text, f"{_ABOVE}; otherwise see the server's log")
    encoded = response_checks.encoded(SUBJECT, response)
    if encoded is not None:
        return encoded
    members = _response_members(response)
    if members.get("active") is True and _has_error(members, server):
        text = f"{_named(server)} reports it as active, but its response cannot be used: {error.detail}"
        return wrong(SUBJECT, text, "see the claims below: until then, the enforcer answers 503")
    if server.signed_answers:
        return response_checks.no_signed_response(error.detail, SUBJECT)
    text = f"the response of {_named(server)} is not an introspection response (RFC 7662): {error.detail}"
    return wrong(SUBJECT, text, "see the server's log, or correct introspection_endpoint")


def _has_error(members: Mapping[str, Any], server: AuthorizationServer) -> bool:
    try:
        from_members(members, ScopeClaims(server.scope_claims))
    except IntrospectionError:
        return True
    return False


def _no_response(error: IntrospectionError, result: Result | None, server: AuthorizationServer) -> Finding:
    if error.detail == RESPONSE_TOO_LARGE:
        return response_checks.too_large(SUBJECT, "introspection_endpoint")
    if error.reason is IntrospectionFailure.TIMEOUT and isinstance(result, UpstreamError) and result.connected:
        text = f"no complete response of {_named(server)} within {server.timeout:g} s"
        return wrong(SUBJECT, text, "find out why the server is slow, or raise timeout")
    text = f"not verified: {_named(server)}: {error.detail}"
    return wrong(SUBJECT, text, f"{_ABOVE}; otherwise see the server's log")


# Members


def _header(token: bytes) -> Mapping[str, Any]:
    """Return the header of a JWT; empty for any other token."""
    return _object(token.partition(b".")[0]) if jws.looks_like_jwt(token) else {}


def _claims(token: bytes) -> Mapping[str, Any]:
    """Return the claims of a JWT, which nobody may have verified."""
    return _object(token.split(b".")[1])


def _object(part: bytes) -> Mapping[str, Any]:
    try:
        return read_object(jws.decode(part))
    except ValueError:
        return {}


def _response_members(result: Result | None) -> Mapping[str, Any]:
    """Return the members of an introspection response, or of the signed one (RFC 9701 §5); empty if there are none."""
    if not isinstance(result, ServerResponse):
        return {}
    try:
        return read_object(result.body)
    except ValueError:
        parts = result.body.split(b".")
    members = _object(parts[1]).get("token_introspection") if len(parts) == 3 else None
    return members if isinstance(members, dict) else {}
