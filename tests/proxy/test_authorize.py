"""Authorization: from a request head to a permit or a refusal; and sender-constrained tokens across a reload."""

from __future__ import annotations

from collections.abc import Iterator
from time import time
from typing import Any

import pytest
from harness.clients import Client
from harness.configs import RULES, config
from harness.in_process import InProcessProxy, in_process_proxy
from harness.playbook import Pipe, head
from harness.servers import introspection_server
from harness.signing import key, proof
from harness.snapshots import snapshot
from harness.upstreams import Headers, Incoming, PeerClosedError, Upstream, upstream

from enforcer.decision_log.buffer import DecisionBuffer
from enforcer.decision_log.redaction import HIDDEN_PATH
from enforcer.errors import IntrospectionFailure
from enforcer.policy.decision import Allow
from enforcer.proxy.authorize import Authorization, Refused, Responded
from enforcer.proxy.messages.head import RequestHead
from enforcer.proxy.peer import Peer
from enforcer.proxy.snapshot import Snapshot
from enforcer.server.resources import SharedResources
from enforcer.share_report import SharedTable, ShareReport
from enforcer.tokens.cache import CacheEntry
from enforcer.tokens.claims import read_claims
from enforcer.tokens.introspection.response import INACTIVE
from enforcer.tokens.purge import Purge
from enforcer.tokens.verifier import LimitFailure, VerificationFailure, VerificationOutcome

AUTHORIZE_RULES = [
    {"name": "public", "path": "/public/**", "public": True},
    {"name": "read", "path": "/read/**", "scopes": ["read"], "cors_preflight": "allow"},
    {"name": "reported", "path": "/reported/**", "scopes": ["read"], "mode": "report"},
]
RECORDED: dict[str, Any] = {"admin": {"credential": {"env": "ENFORCER_CLIENT_SECRET"}}}
SNAPSHOT = snapshot(rules=AUTHORIZE_RULES, **RECORDED)
NO_RULES = snapshot(rules=[{"name": "never", "path": "/**", "scopes": ["never"]}])
BEARER = (b"Authorization", b"Bearer token")
WITH_PROOF = (b"Authorization", b"DPoP token")
IDENTITY = b"X-Auth-Subject: alice\r\n"


class NeverCalled:
    """The listener of a verification that nobody waits for."""

    client = "192.0.2.1"

    def on_verification(self, outcome: VerificationOutcome) -> None:
        raise AssertionError(outcome)


class Step:
    """One authorization by a snapshot, and the decisions that it recorded."""

    def __init__(self, request: RequestHead, by: Snapshot = SNAPSHOT) -> None:
        self.buffer = DecisionBuffer(ShareReport(SharedTable.DECISION_LOG))
        self.authorization = Authorization(request, by, Peer(Pipe(), by.forwarding), self.buffer)

    def authorize(self) -> Allow | Refused | None:
        outcome = self.authorization.authorize(NeverCalled())
        assert not isinstance(outcome, Responded)
        return outcome


def entry(claims: dict[str, Any] | None) -> CacheEntry:
    """Return the cached result for a token with these claims, None for an inactive one."""
    return CacheEntry(INACTIVE if claims is None else read_claims(claims), IDENTITY, 0.0, 1.0)


READ = head(b"GET", b"/read/a", BEARER)


def concluded(
    outcome: VerificationOutcome, request: RequestHead = READ, by: Snapshot = SNAPSHOT
) -> tuple[Step, Allow | Refused]:
    """Authorize a request up to the verification, and conclude with its outcome."""
    step = Step(request, by)
    target, methods = by.routes.locate(request.target, request.host)
    assert methods is not None
    step.authorization.route = methods[None]
    step.authorization.segments = target.segments
    if request.authorization is not None and request.authorization.startswith(b"DPoP"):
        step.authorization._token_with_proof = b"token"
    return step, step.authorization.conclude(outcome, time())


def test_a_public_request_gets_a_permit_without_a_token() -> None:
    """And nobody's identity."""
    step = Step(head(b"GET", b"/public/a", BEARER))
    permit = step.authorize()
    assert isinstance(permit, Allow)
    assert (permit.label, permit.token, step.authorization.identity) == (("allow", "public"), None, b"")
    assert step.buffer.find(b"") == []


@pytest.mark.parametrize(
    ("request_head", "status", "reason", "closes"),
    [
        (head(b"GET", b"/read/a"), 401, "missing_token", False),
        (head(b"GET", b"/read/a", BEARER, BEARER), 400, "invalid_request", False),
        (head(b"GET", b"/read/a", (b"Authorization", b"Bearer to,ken")), 401, "malformed_token", False),
        (head(b"GET", b"/read/a", (b"Authorization", b"Basic YTpi")), 401, "missing_token", False),
        (head(b"GET", b"/other"), 403, "no_rule", False),
        (head(b"CONNECT", b"/public/a"), 403, "no_rule", False),
        (head(b"OPTIONS", b"/read/a"), 401, "missing_token", False),
        (head(b"GET", b"/read/../.."), 400, "unreadable_path", True),
        (head(b"GET", b"/public/..%2Fread"), 400, "ambiguous_path", True),
        (head(b"GET", b"http://elsewhere/public/a"), 400, "request_rejected", True),
        (head(b"GET", b"/read/a", (b"Authorization", b"Bearer " + b"a" * 9000)), 431, "request_rejected", True),
    ],
)
def test_a_request_that_needs_no_verification_is_refused_at_once(
    request_head: RequestHead, status: int, reason: str, closes: bool
) -> None:
    """And the decision is recorded under the id of its refusal."""
    step = Step(request_head)
    refused = step.authorize()
    assert isinstance(refused, Refused)
    assert (refused.refusal.status, refused.closes) == (status, closes)
    (record,) = step.buffer.find(refused.request_id)
    assert (record.label[1], record.refusal) == (reason, refused.refusal)


@pytest.mark.parametrize(
    ("destination", "detail"),
    [
        (b"/read/b?c", 'PUT /read/b, rule "read"'),
        (b"/elsewhere", "PUT /elsewhere, no rule"),
        (b"/read/a-long-token", f'PUT {HIDDEN_PATH.decode()}, rule "read"'),
        (b"/public/..%2Fread", 'PUT /public/..%2Fread, the readings of the path lead to rule "public" and rule "read"'),
        (b"/read/../..", ""),
    ],
)
def test_the_record_names_the_other_target_that_was_denied(destination: bytes, detail: str) -> None:
    """With its rule, and without a token; what cannot be read is in the refusal."""
    authorization = (b"Authorization", b"Bearer a-long-token")
    step = Step(head(b"MOVE", b"/public/a", authorization, (b"Destination", destination)))
    refused = step.authorize()
    assert isinstance(refused, Refused)
    (record,) = step.buffer.find(refused.request_id)
    assert (record.label[1], record.detail) == ("other_target", detail)


def test_a_preflight_passes_if_its_rule_says_so() -> None:
    """The rule is that of the method that it asks for."""
    fields = ((b"Origin", b"https://app.example"), (b"Access-Control-Request-Method", b"GET"))
    step = Step(head(b"OPTIONS", b"/read/a", *fields))
    permit = step.authorize()
    assert isinstance(permit, Allow)
    assert permit.label == ("allow", "preflight")


@pytest.mark.parametrize(
    ("claims", "status", "reason"),
    [
        ({"scope": "other"}, 403, "insufficient_scope"),
        ({"scope": "read", "exp": 1}, 401, "expired_token"),
        ({"scope": "read", "cnf": {"jkt": "thumbprint"}}, 401, "wrong_scheme"),
        ({"scope": "read", "cnf": {"x5t#S256": "thumbprint"}}, 401, "unproven_token"),
        (None, 401, "inactive_token"),
    ],
)
def test_a_verified_token_that_does_not_meet_the_rule_is_refused(
    claims: dict[str, Any] | None, status: int, reason: str
) -> None:
    """With one reason."""
    step, refused = concluded(entry(claims))
    assert isinstance(refused, Refused)
    (record,) = step.buffer.find(refused.request_id)
    assert (refused.refusal.status, record.label[1]) == (status, reason)
    assert step.authorization.identity == b""


def test_a_verified_token_that_meets_the_rule_gets_a_permit_and_an_identity() -> None:
    """The identity fields were written when the result was cached."""
    step, permit = concluded(entry({"scope": "read"}))
    assert isinstance(permit, Allow)
    assert (permit.label, step.authorization.identity) == (("allow", "ok"), IDENTITY)


def test_a_token_with_a_proof_must_be_bound_to_a_key() -> None:
    """It is refused with the challenge of its scheme."""
    _, refused = concluded(entry({"scope": "read"}), head(b"GET", b"/read/a", WITH_PROOF))
    assert isinstance(refused, Refused)
    assert refused.refusal.challenges[0].startswith("DPoP ")


def test_a_proof_is_needed_with_a_token_that_is_bound_to_a_key() -> None:
    """Without the DPoP field nothing is proven."""
    step, refused = concluded(entry({"scope": "read", "cnf": {"jkt": "x"}}), head(b"GET", b"/read/a", WITH_PROOF))
    assert isinstance(refused, Refused)
    (record,) = step.buffer.find(refused.request_id)
    assert (record.label[1], record.possession) == ("missing_proof", "missing_proof")


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (VerificationFailure(IntrospectionFailure.TIMEOUT, 5), 503),
        (VerificationFailure(LimitFailure.TOO_MANY_UNSEEN, 5), 429),
    ],
)
def test_a_token_that_could_not_be_verified_is_refused_for_a_while(failure: VerificationFailure, status: int) -> None:
    """Never 401: the client would throw a good token away."""
    _, refused = concluded(failure)
    assert isinstance(refused, Refused)
    assert (refused.refusal.status, refused.refusal.retry_after) == (status, 5)


@pytest.mark.parametrize(
    ("outcome", "identity"),
    [
        (entry({"scope": "other"}), IDENTITY),
        (entry(None), b""),
        (VerificationFailure(IntrospectionFailure.TIMEOUT, 5), b""),
    ],
)
def test_report_mode_gives_a_permit_and_records_the_refusal(outcome: VerificationOutcome, identity: bytes) -> None:
    """The sender is named only if their token is good."""
    step, permit = concluded(outcome, head(b"GET", b"/reported/a", BEARER, (b"X-Request-Id", b"7")))
    assert isinstance(permit, Allow)
    assert permit.label[0] == "would_deny"
    (record,) = step.buffer.find(b"7")
    assert record.refusal is not None
    assert step.authorization.identity == identity


def test_a_grant_is_checked_again_by_a_newer_snapshot() -> None:
    """By the known result for the token; if the new rule trusts another server, it counts as no token."""
    step, permit = concluded(entry({"scope": "read", "exp": 4_000_000_000}))
    assert isinstance(permit, Allow)
    grant = step.authorization.grant(permit)
    assert [grant.has_ended(now, SNAPSHOT) for now in (3_999_999_999, 4_000_000_000)] == [False, True]
    assert grant.reauthorize(SNAPSHOT) is None
    refusal = grant.reauthorize(NO_RULES)
    assert refusal is not None
    assert refusal.status == 401


@pytest.mark.parametrize("value", [b"Bearer token", b"bearer  token\t", b"\tDPoP token "])
def test_a_purge_finds_the_token_in_any_spelling_of_the_field(value: bytes) -> None:
    """Neither the scheme nor the space around it is part of the token."""
    _, permit = concluded(entry({"scope": "read"}))
    assert isinstance(permit, Allow)
    spelled = Step(head(b"GET", b"/read/a", (b"Authorization", value))).authorization.grant(permit)
    assert [spelled.is_ended_by(Purge("token", token)) for token in ("token", "oken")] == [True, False]
    assert "token" not in repr(spelled)


def reauthorized(claims: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> int | None:
    """Return the status with which a reload ends a stream that was granted under the conditions before; None: not."""
    resources = SharedResources()
    old = snapshot(resources=resources, rules=[{"name": "r", "path": "/read/**", **before}])
    new = snapshot(resources=resources, rules=[{"name": "r", "path": "/read/**", **after}])
    step, permit = concluded(entry(claims), by=old)
    assert isinstance(permit, Allow)
    refusal = step.authorization.grant(permit).reauthorize(new)
    return None if refusal is None else refusal.status


def test_a_grant_ends_if_the_rules_read_claims_that_its_token_has_lost() -> None:
    """A claim that was not kept is not absent; the client's next request is decided by the whole token."""
    read, absent = {"scopes": ["read"]}, {"claims": {"suspended": {"present": False}}}
    assert reauthorized({"scope": "read"}, read, absent) == 401
    assert reauthorized({"scope": "read"}, absent, absent) is None
    assert reauthorized({"scope": "read"}, absent, read) is None


def test_a_grant_ends_if_the_user_was_not_authenticated_recently_enough_when_it_began() -> None:
    """A stream that goes on does not make the login older."""
    claims = {"auth_time": int(time()) - 150}
    assert reauthorized(claims, {"max_auth_age": "5m"}, {"max_auth_age": "2m"}) == 401
    assert reauthorized(claims, {"max_auth_age": "5m"}, {"max_auth_age": "3m"}) is None


MINE = key("ES256")
TOKEN = "keyed"
NOBODY = [{"name": "all else", "path": "/**", "scopes": ["never"]}]


class Stack:
    """A data plane before an app, and the configurations for it."""

    def __init__(self, app: Upstream, port: int) -> None:
        self.app = app
        self._port = port
        self.running: InProcessProxy

    def text(self, rules: Any = RULES, **changes: Any) -> str:
        """Write a configuration."""
        return config(self.app.url, self._port, rules=rules, **changes)

    def shown(self, client: Client) -> Headers:
        """Write the fields of a request for `/thing` with the token and a new proof."""
        written = proof(MINE, TOKEN, "GET", f"http://{client.host}/thing")
        return [("Authorization", f"DPoP {TOKEN}"), ("DPoP", written)]


@pytest.fixture
def stack() -> Iterator[Stack]:
    tokens = {TOKEN: {"scope": "read", "cnf": {"jkt": MINE.thumbprint()}}}
    with upstream() as app, introspection_server(tokens) as server:
        made = Stack(app, server.port)
        with in_process_proxy(made.text()) as made.running:
            yield made


def test_a_proof_that_was_used_stays_used_whatever_the_configuration(stack: Stack) -> None:
    """Otherwise, a reload would make every stolen proof valid a second time."""
    with Client(stack.running.port, token=None) as client:
        shown = stack.shown(client)
        assert client.request("GET", "/thing", shown).status == 200
        for changes in ({}, {"dpop": {"max_age": "10m"}}, {"dpop": {"replays": 2}, "log": {"level": "debug"}}):
            stack.running.swap(stack.text(**changes))
            assert client.request("GET", "/thing", shown).status == 401
        assert client.request("GET", "/thing", stack.shown(client)).status == 200
        assert client.request("GET", "/thing", stack.shown(client)).status == 503


def test_a_stream_of_a_bound_token_goes_on_while_the_rules_allow_it(stack: Stack) -> None:
    """Its proof was for the request that began it, and is not asked for again."""

    def stream(incoming: Incoming) -> None:
        incoming.send_head()
        while not incoming.wait_for_close(0.02):
            incoming.send(b"event\n")

    stack.app.handler = stream
    with Client(stack.running.port, token=None) as client:
        client.begin("GET", "/thing", stack.shown(client))
        client.end()
        assert client.read_head().status == 200
        pieces = client.pieces()
        stack.running.swap(stack.text(cache={"ttl": "1s"}))
        for _ in range(20):
            assert next(pieces).strip(b"event\n") == b""
        stack.running.swap(stack.text(NOBODY))
        with pytest.raises(PeerClosedError):
            list(pieces)
