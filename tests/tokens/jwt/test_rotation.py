"""Rotation of a server's keys in every common way: a good token is accepted again within one `keys.pause`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from harness.clocks import Clock
from harness.signing import AnyKey, key, public, sign, text

from enforcer.counters import FetchMetrics
from enforcer.errors import IntrospectionError
from enforcer.settings.jwt import JwtSettings, KeySettings
from enforcer.share_report import SharedTable, ShareReport
from enforcer.tokens.claims import ActiveToken
from enforcer.tokens.documents.refresh_schedule import Lifetime, RefreshSchedule
from enforcer.tokens.documents.remote_document import RemoteDocument
from enforcer.tokens.introspection.response import IntrospectionOutcome
from enforcer.tokens.jwt import jwks
from enforcer.tokens.jwt.client_keys import ClientKeys
from enforcer.tokens.jwt.fault import JwtFault, RejectedToken
from enforcer.tokens.jwt.jwks import KeySet
from enforcer.tokens.jwt.jwt_source import JwtSource
from enforcer.tokens.lookup import Lookup
from enforcer.wire.callback import Callback
from enforcer.wire.ticker import RESOLUTION, Ticker

ISSUER = "https://as.example"
SETTINGS = KeySettings()
PAUSE, REFRESH = SETTINGS.pause + 2 * RESOLUTION, SETTINGS.refresh + 2 * RESOLUTION
WAITING = 20
OLD, NEW, STRANGER = (key("ES256", number) for number in (1, 2, 3))
RSA = key("RS256")


class Server:
    """A server that publishes keys, and a verifier of its tokens."""

    def __init__(self, *published: dict[str, Any]) -> None:
        self.published: Sequence[dict[str, Any]] | None = published
        self.fetches = 0
        self.clock = Clock()
        lifetime = Lifetime(SETTINGS.refresh, SETTINGS.max_age)
        schedule: RefreshSchedule[KeySet] = RefreshSchedule(lambda _: lifetime, SETTINGS.pause)
        ticker = Ticker(self.clock)  # type: ignore[arg-type]
        document = RemoteDocument("the keys", self, schedule, ticker, FetchMetrics())
        keys = ClientKeys(document, ticker, WAITING, 75, ShareReport(SharedTable.INTROSPECTION))
        self._source = JwtSource(keys, ISSUER, JwtSettings(), None, self.clock.time)
        self.advance(RESOLUTION)

    def fetch(self, callback: Callback[KeySet | IntrospectionError]) -> None:
        self.fetches += 1
        self.clock.call_later(0.0, lambda: callback(self._document()))

    def close(self) -> None:
        """Do nothing: there are no connections."""

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def result(self, signer: AnyKey, kid: str | None = None, algorithm: str = "ES256") -> str:
        """Verify a new token that `signer` signed; returns `active`, the fault, or `error`."""
        (result,) = self.results(signer, kid, algorithm)
        return result

    def results(
        self, signer: AnyKey, kid: str | None = None, algorithm: str = "ES256", client: str = "192.0.2.1"
    ) -> list[str]:
        """Verify a new token of a client; returns the list in which the result is now, or will be."""
        claims = {"iss": ISSUER, "exp": self.clock.time() + 600}
        header = {"typ": "at+jwt", "alg": algorithm, **({} if kid is None else {"kid": kid})}
        results: list[str] = []
        lookup = Lookup(sign(header, claims, signer, algorithm), client)
        outcome = self._source.introspect(lookup, lambda outcome: results.append(_name(outcome)))
        if outcome is not None:
            results.append(_name(outcome))
        self.advance(0.0)
        return results

    def _document(self) -> KeySet | IntrospectionError:
        try:
            return jwks.parse(b"<html>" if self.published is None else text({"keys": self.published}))
        except IntrospectionError as error:
            return error.as_value()


def _name(outcome: IntrospectionOutcome) -> str:
    if isinstance(outcome, RejectedToken):
        return outcome.fault
    return "active" if isinstance(outcome, ActiveToken) else "error"


def test_a_new_key_beside_the_old_one_is_fetched_at_once() -> None:
    """The usual rotation: both are published for a while."""
    server = Server(public(OLD, kid="old"))
    assert server.result(OLD, "old") == "active"
    server.advance(PAUSE)
    server.published = (public(OLD, kid="old"), public(NEW, kid="new"))
    assert server.result(NEW, "new") == server.result(OLD, "old") == "active"
    assert server.fetches == 2


@pytest.mark.parametrize("name", ["only", None])
def test_a_key_that_replaces_another_under_its_name_is_fetched_at_once(name: str | None) -> None:
    """A server that does not change `kid`, or has none: only the signature shows it."""
    server = Server(public(OLD, kid=name))
    server.advance(PAUSE)
    server.published = (public(NEW, kid=name),)
    assert server.result(NEW, name) == "active"
    server.advance(PAUSE)
    assert server.result(OLD, name) == (JwtFault.KEY if name is None else JwtFault.SIGNATURE)


def test_a_key_of_another_type_under_the_same_name_is_fetched_at_once() -> None:
    """A server that changes its algorithm."""
    server = Server(public(OLD, kid="only"))
    server.advance(PAUSE)
    server.published = (public(RSA, kid="only"),)
    assert server.result(RSA, "only", "RS256") == "active"


def test_keys_that_gain_or_lose_their_names_verify_as_before() -> None:
    """RFC 7515 §4.1.4: the name is a hint."""
    server = Server(public(OLD))
    assert server.result(OLD, "old") == server.result(OLD) == "active"
    server.published = (public(OLD, kid="old", alg="ES256", use="sig"),)
    server.advance(REFRESH)
    assert server.result(OLD, "old") == server.result(OLD) == "active"


def test_a_withdrawn_key_is_noticed_at_the_next_refresh() -> None:
    """Its tokens are rejected then, with one more fetch to be sure."""
    server = Server(public(OLD, kid="old"), public(NEW, kid="new"))
    server.published = (public(NEW, kid="new"),)
    assert server.result(OLD, "old") == "active"
    server.advance(REFRESH)
    assert server.result(OLD, "old") == JwtFault.KEY
    assert server.result(NEW, "new") == "active"


def test_a_key_that_is_published_after_its_first_token_is_found_within_the_pause() -> None:
    """Several instances of a server behind a load balancer, or a cache in front of its keys."""
    server = Server(public(OLD, kid="old"))
    server.advance(PAUSE)
    assert server.result(NEW, "new") == JwtFault.KEY
    server.published = (public(OLD, kid="old"), public(NEW, kid="new"))
    assert server.result(NEW, "new") == JwtFault.KEY
    server.advance(PAUSE)
    assert server.result(NEW, "new") == "active"


def test_a_rollback_is_a_rotation_too() -> None:
    """The old key again: its tokens are accepted, and those of the new key are not."""
    server = Server(public(NEW, kid="new"))
    server.advance(PAUSE)
    server.published = (public(OLD, kid="old"),)
    assert server.result(OLD, "old") == "active"
    assert server.result(NEW, "new") == JwtFault.KEY


def test_a_key_that_cannot_be_used_is_an_error_until_it_is_repaired() -> None:
    """Meanwhile no client learns from a 401 that its token is invalid."""
    server = Server(public(OLD, kid="old"))
    server.advance(PAUSE)
    broken = {name: value for name, value in public(NEW, kid="new").items() if name != "y"}
    server.published = (public(OLD, kid="old"), broken)
    assert (server.result(NEW, "new"), server.result(OLD, "old")) == ("error", "active")
    server.published = (public(OLD, kid="old"), public(NEW, kid="new"))
    server.advance(PAUSE)
    assert server.result(NEW, "new") == "active"


@pytest.mark.parametrize("published", [None, (), ({"kty": "oct", "k": "AA"},)])
def test_a_document_without_keys_replaces_none(published: Any) -> None:
    """The last good keys are used until `keys.max_age`; an unknown key is an error, and never a rejection."""
    server = Server(public(OLD, kid="old"))
    server.published = published
    server.advance(SETTINGS.max_age - SETTINGS.refresh)
    assert (server.result(OLD, "old"), server.result(NEW, "new")) == ("active", "error")
    server.advance(SETTINGS.refresh + RESOLUTION)
    assert server.result(OLD, "old") == "error"


def test_made_up_tokens_cause_at_most_one_fetch_in_a_pause() -> None:
    """Unknown names and wrong signatures alike; meanwhile good tokens are accepted."""
    server = Server(public(OLD, kid="old"))
    for number in range(40):
        server.advance(PAUSE / 10)
        assert server.result(STRANGER, f"made-up-{number}") == JwtFault.KEY
        assert server.result(STRANGER, "old") == JwtFault.SIGNATURE
        assert server.result(OLD, "old") == "active"
    assert server.fetches <= 1 + 4


@pytest.mark.parametrize("name", ["new", "old"])
def test_a_stranger_that_uses_up_the_fetches_refuses_nobody(name: str) -> None:
    """A good token with a new key waits for the next fetch, at most for a pause; fetches are no more frequent."""
    server = Server(public(OLD, kid="old"))
    server.advance(PAUSE)
    server.results(STRANGER, "made up", client="203.0.113.9")
    server.published = (public(NEW, kid=name),)
    for second in range(30):
        if second == 3:
            waiting = server.results(NEW, name)
            assert waiting == []
        if second % 2:
            server.results(STRANGER, f"made up {second}", client=f"203.0.113.{second}")
        assert server.result(NEW, name) == "active" if second > SETTINGS.pause else True
        server.advance(1.0)
    assert waiting == ["active"]
    assert server.fetches <= 2 + 30 / SETTINGS.pause


def test_tokens_of_the_client_that_caused_the_fetch_do_not_wait() -> None:
    """It pays for its own tokens: they are rejected by the keys of that fetch."""
    server = Server(public(OLD, kid="old"))
    server.advance(PAUSE)
    for number in range(3):
        assert server.result(STRANGER, f"made up {number}") == JwtFault.KEY


def test_a_client_takes_only_its_share_of_the_places_to_wait() -> None:
    """Its other tokens are rejected at once, and another client's still waits."""
    server = Server(public(OLD, kid="old"))
    server.advance(PAUSE)
    server.results(STRANGER, "made up", client="203.0.113.9")
    flood = [server.results(STRANGER, f"made up {number}", client="203.0.113.8") for number in range(3 * WAITING)]
    waiting = [results for results in flood if not results]
    assert len(waiting) < WAITING
    server.published = (public(NEW, kid="new"),)
    good = server.results(NEW, "new")
    assert good == []
    server.advance(PAUSE)
    assert good == ["active"]
    assert flood == [[JwtFault.KEY]] * len(flood)


def test_tokens_that_wait_during_an_outage_are_not_called_inactive() -> None:
    """The fetch for which they wait fails."""
    server = Server(public(OLD, kid="old"))
    server.advance(PAUSE)
    server.results(STRANGER, "made up", client="203.0.113.9")
    server.published = None
    waiting = [server.results(NEW, f"new {number}") for number in range(2)]
    server.advance(PAUSE)
    assert waiting == [["error"], ["error"]]
