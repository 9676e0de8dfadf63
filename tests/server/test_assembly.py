"""What a configuration has in common with the one before it, and what is made anew."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.configs import authorization_server, config

from enforcer.config.load import load
from enforcer.proxy.snapshot import Snapshot
from enforcer.server.assembly import assemble
from enforcer.server.resources import SharedResources
from enforcer.telemetry import Telemetry
from enforcer.tokens.introspection.response import from_claims
from enforcer.tokens.verifier import CacheControl
from enforcer.wire.ticker import Ticker

APP = "http://127.0.0.1:1"
KEY = b"key of a token"
RULES = [{"name": "all", "path": "/**", "authenticated": True}]


class Bench:
    """Makes one configuration after the other."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "config.yaml"
        self._folder = folder
        self._resources = SharedResources()
        self._telemetry = Telemetry("tested")
        self._loop = asyncio.new_event_loop()
        self._loop.set_debug(True)  # whoever calls it from another thread is told so
        self._ticker = Ticker(self._loop)

    def make(
        self,
        secret: str = "secret",
        *,
        server: dict[str, Any] | None = None,
        other: dict[str, Any] | None = None,
        **changes: Any,
    ) -> Made:
        """Make one, in another thread than the loop's; `other` are the settings of a second authorization server."""
        (self._folder / "secret").write_text(secret)
        own = {"client_secret": {"file": "secret"}}
        settings = [authorization_server(2, **own, **(server or {}))]
        if other is not None:
            settings.append(authorization_server(3, **own, name="other", **other))
        self._path.write_text(config(APP, 2, authorization_servers=settings, rules=RULES, **changes))
        loaded = load(self._path, {})
        scope = self._resources.scope()
        work = asyncio.to_thread(assemble, loaded.config, scope, self._telemetry, self._ticker, self._loop)
        return Made(*self._loop.run_until_complete(work))

    def close(self) -> None:
        self._ticker.stop()
        self._loop.close()


class Made:
    """What was made of a configuration."""

    def __init__(self, snapshot: Snapshot, memory: CacheControl) -> None:
        self.forwarding = snapshot.forwarding
        self.pool = snapshot.no_route.upstream.pool
        _, methods = snapshot.locate(b"/thing", b"")
        assert methods is not None
        self.verifier = methods[None].verifier  # of a rule that asks one server
        self.memory = memory
        self.cache = memory._cache
        self.limiter = self.verifier._limiter

    def same(self, other: Made) -> set[str]:
        """Return which things are the other's too."""
        return {name for name, thing in vars(self).items() if vars(other)[name] is thing}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


ALL = {"forwarding", "pool", "verifier", "cache", "limiter"}


@pytest.mark.parametrize(
    ("changes", "anew"),
    [
        pytest.param({}, set(), id="nothing"),
        pytest.param({"timeouts": {"head": "1s"}}, set(), id="what no thing is made of"),
        pytest.param({"forwarding": {"chain": "none"}}, {"forwarding"}, id="forwarding"),
        pytest.param({"upstream": {"url": "http://127.0.0.1:3"}}, {"pool"}, id="another app"),
        pytest.param({"upstream": {"pool": {"connections": 1}}}, {"pool"}, id="limits of the app's connections"),
        pytest.param({"limits": {"unseen_tokens": {"rate": 1}}}, {"limiter", "verifier"}, id="limit on unseen tokens"),
        pytest.param({"cache": {"ttl": "1s"}}, {"cache", "verifier"}, id="cache"),
        pytest.param(
            {"forwarding": {"identity": {"X-User": "sub"}}}, {"forwarding", "cache", "verifier"}, id="identity"
        ),
        pytest.param({"secret": "rotated"}, {"verifier"}, id="secret"),
        pytest.param({"server": {"timeout": "1s"}}, {"verifier"}, id="authorization server"),
        pytest.param({"other": {}}, set(), id="another authorization server"),
        pytest.param({"other": {"issuer": "b"}}, {"verifier"}, id="one whose tokens the first must not be shown"),
    ],
)
def test_what_a_change_does_not_touch_stays(bench: Bench, changes: dict[str, Any], anew: set[str]) -> None:
    """Connections, remembered answers, counts: the very same things."""
    before = bench.make()
    assert bench.make(**changes).same(before) == ALL - anew


@pytest.mark.parametrize(
    ("changes", "shared"),
    [
        ({"secret": "rotated"}, True),
        ({"server": {"timeout": "1s", "retry_after": "1s", "pool": {"connections": 1}}}, True),
        ({"cache": {"ttl": "1s"}}, True),
        ({"server": {"introspection_endpoint": "http://127.0.0.1:3/introspect"}}, False),
        ({"server": {"client_id": "another"}}, False),
        ({"server": {"issuer": "https://auth.example.org"}}, False),
        ({"server": {"name": "another"}}, False),
        ({"server": {"audience": ["app"]}}, True),
        ({"server": {"metadata": {"refresh": "1m"}}}, True),
        ({"server": {"signed_answers": True, "issuer": "https://auth.example.org"}}, False),
        ({"other": {}}, True),
        ({"other": {"issuer": "b"}}, False),
    ],
)
def test_what_a_server_said_is_remembered_while_it_is_the_same_one(
    bench: Bench, changes: dict[str, Any], shared: bool
) -> None:
    """However it is asked; another one under its name, or the same that may say something else, is asked anew."""
    before, after = bench.make(), bench.make(**changes)
    assert (before.verifier.keys <= after.verifier.keys) is shared


def test_answers_are_taken_over_by_the_new_settings(bench: Bench) -> None:
    """As old as they are, and with the fields that are now sent."""
    now = time.time()
    before = bench.make()
    before.cache.put(KEY, from_claims({"sub": "joe"}), b"X-Auth-Subject: joe\r\n", now - 10)
    after = bench.make(cache={"ttl": "30s"}, forwarding={"identity": {"X-User": "sub"}})
    found = after.cache.get(KEY, now)
    assert found is not None
    assert (found.identity, found.expires_at) == (b"X-User: joe\r\n", now + 20)
    after.memory.succeed(before.memory)
    assert len(after.memory) == 1


def test_what_was_purged_while_answers_were_taken_over_is_not_remembered(bench: Bench) -> None:
    """It was asked of the one before, which was in force."""
    before = bench.make()
    before.cache.put(KEY, from_claims({"sub": "joe"}), b"", time.time())
    after = bench.make(cache={"ttl": "30s"})
    assert before.memory.purge("subject", "joe") == 1
    after.memory.succeed(before.memory)
    assert len(after.memory) == 0
