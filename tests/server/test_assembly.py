"""Resources that a configuration shares with the previous one, and resources that are built again."""

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
from enforcer.server.resources import ResourceScope, SharedResources
from enforcer.telemetry import Telemetry
from enforcer.tokens.claims import read_claims
from enforcer.tokens.verifier import CacheControl
from enforcer.wire.ticker import Ticker

APP = "http://127.0.0.1:1"
KEY = b"key of a token"
RULES = [{"name": "all", "path": "/**", "authenticated": True}]


class Assembler:
    """Assembles one configuration after another."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "config.yaml"
        self._folder = folder
        self._resources = SharedResources()
        self._telemetry = Telemetry("tested")
        self._loop = asyncio.new_event_loop()
        self._loop.set_debug(True)  # raises an error for calls from another thread
        self._ticker = Ticker(self._loop)

    def make(
        self,
        secret: str = "secret",
        *,
        server: dict[str, Any] | None = None,
        other: dict[str, Any] | None = None,
        **changes: Any,
    ) -> Assembled:
        """Assemble a configuration on another thread; `other` are the settings of a second authorization server."""
        (self._folder / "secret").write_text(secret)
        own = {"client_secret": {"file": "secret"}}
        settings = [authorization_server(2, **own, **(server or {}))]
        if other is not None:
            settings.append(authorization_server(3, **own, name="other", **other))
        self._path.write_text(config(APP, 2, authorization_servers=settings, rules=RULES, **changes))
        loaded = load(self._path, {})
        scope = self._resources.scope()
        work = asyncio.to_thread(assemble, loaded.config, scope, self._telemetry, self._ticker, self._loop)
        snapshot, memory = self._loop.run_until_complete(work)
        return Assembled(snapshot, memory, scope)

    def close(self) -> None:
        self._ticker.stop()
        self._loop.close()


class Assembled:
    """A snapshot's resources."""

    def __init__(self, snapshot: Snapshot, memory: CacheControl, scope: ResourceScope) -> None:
        self.forwarding = snapshot.forwarding
        self.pool = snapshot.no_route.upstream.pool
        _, methods = snapshot.routes.locate(b"/thing", b"")
        assert methods is not None
        self.verifier = methods[None].verifier  # the rule has one authorization server
        self.memory = memory
        self.cache = scope.newest("cache")
        self.limiter = scope.newest("limiter")

    def same(self, other: Assembled) -> set[str]:
        """Return the names of the resources that both have."""
        return {name for name, resource in vars(self).items() if vars(other)[name] is resource}


@pytest.fixture
def assembler(tmp_path: Path) -> Iterator[Assembler]:
    assembler = Assembler(tmp_path)
    yield assembler
    assembler.close()


ALL = {"forwarding", "pool", "verifier", "cache", "limiter"}


@pytest.mark.parametrize(
    ("changes", "rebuilt"),
    [
        pytest.param({}, set(), id="nothing"),
        pytest.param({"timeouts": {"head": "1s"}}, set(), id="a setting of no resource"),
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
        pytest.param({"other": {"issuer": "b"}}, {"verifier"}, id="a server whose tokens the first must not get"),
    ],
)
def test_resources_with_unchanged_settings_are_shared(
    assembler: Assembler, changes: dict[str, Any], rebuilt: set[str]
) -> None:
    """So that connections, cache entries and counters are kept."""
    before = assembler.make()
    assert assembler.make(**changes).same(before) == ALL - rebuilt


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
def test_cache_entries_of_an_unchanged_server_are_kept(
    assembler: Assembler, changes: dict[str, Any], shared: bool
) -> None:
    """Timeouts and the like may change. A different server, or other claims, need a new introspection."""
    before, after = assembler.make(), assembler.make(**changes)
    assert (before.verifier.keys <= after.verifier.keys) is shared


def test_cache_entries_follow_the_new_settings(assembler: Assembler) -> None:
    """With their age, and the new identity fields."""
    now = time.time()
    before = assembler.make()
    before.cache.put(KEY, read_claims({"sub": "joe"}), b"X-Auth-Subject: joe\r\n", now - 10)
    after = assembler.make(cache={"ttl": "30s"}, forwarding={"identity": {"X-User": "sub"}})
    entry = after.cache.get(KEY, now)
    assert entry is not None
    assert (entry.identity, entry.expires_at) == (b"X-User: joe\r\n", now + 20)
    after.memory.succeed(before.memory)
    assert len(after.memory) == 1


def test_a_purge_while_entries_are_copied_also_removes_the_copies(assembler: Assembler) -> None:
    """The purge reached the configuration that was still in force."""
    before = assembler.make()
    before.cache.put(KEY, read_claims({"sub": "joe"}), b"", time.time())
    after = assembler.make(cache={"ttl": "30s"})
    assert sum(before.memory.purge("subject", "joe")) == 1
    after.memory.succeed(before.memory)
    assert len(after.memory) == 0
