"""Users with good tokens, while an authorization server is in trouble, or while somebody sends made-up tokens.

The matrix: how the server treats tokens that it does not know × how it treats good ones × one attacker or fifty. Time
is virtual, the server is a model; everything between them, from the verifier to the connection pool, is real.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from harness import virtual_time
from harness.modelled_server import FAULTS, Behaviour, ModelledServer, verdict

from enforcer.counters import IntrospectionMetrics
from enforcer.secret import Secret
from enforcer.server.sources import SourceBuilder
from enforcer.settings.authorization_server import AuthorizationServer
from enforcer.settings.cache import CacheSettings
from enforcer.settings.limits import UnseenSettings
from enforcer.tokens.cache import CacheKeys, TokenCache
from enforcer.tokens.claims import ActiveToken
from enforcer.tokens.issuers import IssuerScope
from enforcer.tokens.limiter import ClientLimiter
from enforcer.tokens.retention import Retention
from enforcer.tokens.verifier import CachingVerifier, LookupOptions, VerificationFailure, VerificationOutcome
from enforcer.wire.ticker import Ticker

FINE, INACTIVE = verdict(active=True), verdict(active=False)
AT_ONCE = 0.15
"""Seconds: no response of the server was waited for, apart from one that comes at once."""


@dataclass
class Answer:
    """One answer to a user: when it asked, for how long it waited, the status, and Retry-After."""

    asked: float
    waited: float
    status: int
    retry_after: int = 0


@dataclass
class User:
    """A client with an address of its own. It waits for each outcome before it sends the next token."""

    client: str
    answers: list[Answer] = field(default_factory=list)
    _outcome: asyncio.Future[VerificationOutcome] | None = None

    def on_verification(self, outcome: VerificationOutcome) -> None:
        assert self._outcome is not None
        self._outcome.set_result(outcome)

    async def send(self, bed: Bed, token: str) -> None:
        """Send one token, and record the answer."""
        asked = bed.loop.time()
        self._outcome = bed.loop.create_future()
        outcome = bed.verifier.verify(token.encode(), asked, self, LookupOptions())
        if outcome is None:
            outcome = await self._outcome
        waited = bed.loop.time() - asked
        if isinstance(outcome, VerificationFailure):
            self.answers.append(Answer(asked, waited, 503, outcome.retry_after))
        else:
            self.answers.append(Answer(asked, waited, 200 if isinstance(outcome.result, ActiveToken) else 401))


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Log nothing: the thousands of records of an outage take a quarter of the time, and no test reads them."""
    caplog.set_level(logging.CRITICAL, "enforcer")


class Bed:
    """A verifier, and its server, which treats good tokens and others by `good` and `unknown`."""

    def __init__(self, unknown: Behaviour, **changes: object) -> None:
        self.loop = asyncio.get_running_loop()
        self.unknown = unknown
        self.good = FINE
        self.server = ModelledServer(self.loop, self._behaviour)
        self.metrics = IntrospectionMetrics()
        self.ticker = Ticker(self.loop)
        settings = AuthorizationServer(
            introspection_endpoint="http://127.0.0.1:80/introspect",
            client_id="enforcer",
            client_secret=Secret("secret"),
            **changes,  # type: ignore[arg-type]
        )
        self.source = SourceBuilder(settings, {}, self.metrics, self.ticker, self.loop).source(IssuerScope())
        self.verifier = CachingVerifier(
            "main",
            self.source,
            TokenCache(CacheSettings(ttl=3.0, refresh_ahead=1.0, negative_ttl=1.0), Retention((), {})),
            CacheKeys("main"),
            ClientLimiter(UnseenSettings()),
            lambda _: b"",
            self.metrics,
            self.loop.time,
            5,
        )

    def _behaviour(self, token: str) -> Behaviour:
        return self.good if token.startswith("good") else self.unknown

    def close(self) -> None:
        self.source.close()
        self.ticker.stop()


async def repeat(bed: Bed, user: User, tokens: Iterable[str], every: float, until: float) -> None:
    """Send tokens, one after the other, with pauses."""
    for token in tokens:
        if bed.loop.time() >= until:
            return
        await user.send(bed, token)
        await asyncio.sleep(every)


async def attack(bed: Bed, attackers: int, until: float) -> None:
    """Send made-up tokens from several addresses, without waiting for the outcomes."""
    running: list[asyncio.Task[None]] = []
    for number in itertools.count():
        if bed.loop.time() >= until:
            break
        for attacker in range(attackers):
            address = f"198.51.100.{attacker}"
            running.append(asyncio.ensure_future(User(address).send(bed, f"junk-{attacker}-{number}")))
        await asyncio.sleep(1 / 12 if attackers == 1 else 0.5)
    await asyncio.gather(*running)


def fresh(prefix: str) -> Iterable[str]:
    return (f"good-{prefix}-{number}" for number in itertools.count())


async def good_users(bed: Bed, until: float) -> list[Answer]:
    """Let users with known tokens, and users with a new good token each time, send them until a time."""
    known = [User(f"192.0.2.{number}") for number in range(5)]
    renewing = [User(f"192.0.2.{number}") for number in range(100, 103)]
    tasks = [repeat(bed, user, itertools.repeat(f"good-{user.client}"), 0.2, until) for user in known]
    tasks += [repeat(bed, user, fresh(user.client), 0.3, until) for user in renewing]
    await asyncio.gather(*tasks, newcomers(bed, known, until))
    return [answer for user in (*known, *renewing) for answer in user.answers]


async def newcomers(bed: Bed, users: list[User], until: float) -> None:
    """Let a user with a new address and a new good token come now and then; they join `users`."""
    for number in itertools.count():
        if bed.loop.time() >= until:
            return
        users.append(User(f"203.0.113.{number}"))
        await users[-1].send(bed, f"good-newcomer-{number}")
        await asyncio.sleep(0.4)


@pytest.mark.parametrize("attackers", [1, 50])
@pytest.mark.parametrize("unknown", FAULTS)
def test_a_server_that_is_fine_with_good_tokens_serves_their_users(unknown: str, attackers: int) -> None:
    """Before, during and after an attack, users of good tokens, known and fresh, see no difference."""

    async def play() -> list[Answer]:
        bed = Bed(FAULTS[unknown])
        attacking = asyncio.ensure_future(attack(bed, attackers, until=9.0))
        await asyncio.sleep(3.0)
        answers = await good_users(bed, until=12.0)
        await attacking
        bed.close()
        return answers

    answers = virtual_time.run(play())
    assert {answer.status for answer in answers} == {200}
    assert max(answer.waited for answer in answers) < AT_ONCE


@pytest.mark.parametrize("attackers", [0, 1, 50])
@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "slow"] + ["unreachable"])
def test_a_server_that_is_down_is_503_at_once_and_back_within_two_seconds(fault: str, attackers: int) -> None:
    """The same fault for all tokens: 503 with Retry-After, without a wait, and 200 two seconds after its end."""

    async def play() -> list[Answer]:
        bed = Bed(INACTIVE if fault == "unreachable" else FAULTS[fault])
        attacking = asyncio.ensure_future(attack(bed, attackers, until=END if attackers else 0.0))
        bed.loop.call_at(4.0, break_down, bed)
        bed.loop.call_at(DOWN_UNTIL, repair, bed)
        answers = await good_users(bed, until=END)
        await attacking
        bed.close()
        return answers

    def break_down(bed: Bed) -> None:
        bed.good = FAULTS.get(fault, FINE)
        if fault == "unreachable":
            bed.server.stop()

    def repair(bed: Bed) -> None:
        bed.server.reachable = True
        bed.good = FINE

    answers = virtual_time.run(play())
    before = [answer for answer in answers if answer.asked < 3.9]
    assert {answer.status for answer in before} == {200}
    # The first seconds of a fault pass until it is noticed, and until the cached results are no longer used.
    during = [answer for answer in answers if NOTICED < answer.asked < DOWN_UNTIL - 0.1]
    assert {(answer.status, answer.retry_after) for answer in during} == {(503, 5)}
    assert max(answer.waited for answer in during) < AT_ONCE
    after = [answer for answer in answers if answer.asked >= DOWN_UNTIL + 2.0]
    assert {answer.status for answer in after} == {200}
    assert max(answer.waited for answer in after) < AT_ONCE


NOTICED, DOWN_UNTIL, END = 12.0, 16.0, 21.0
