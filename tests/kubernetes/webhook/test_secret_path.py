"""The path by which API servers are authenticated."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from harness.kubernetes.apiserver import CONFIGURATIONS, ApiServer, api_server

from enforcer.kubernetes.webhook.cluster import Cluster, ClusterError
from enforcer.kubernetes.webhook.own_objects import Names, OwnObjects
from enforcer.kubernetes.webhook.secret_path import KEY, PERIOD, PathError, SecretPath, path_of

NAMES = Names("enforcer", "injector", "injector-keys", "enforcer-injector")
SECRET = "/api/v1/namespaces/enforcer/secrets/injector-keys"
CONFIGURATION = f"{CONFIGURATIONS}/enforcer-injector"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server for all tests, each with objects of its own."""
    with api_server(tmp_path_factory.mktemp("account")) as server:
        yield server


@pytest.fixture
def server(shared: ApiServer) -> ApiServer:
    """The chart's Secret, two webhooks of ours, and one of another Service."""
    shared.clear()
    shared.put(SECRET, type="Opaque")
    ours, other = {"namespace": "enforcer", "name": "injector"}, {"namespace": "x", "name": "y"}
    services = {"pods": dict(ours), "namespaces": dict(ours), "others": other}
    webhooks = [{"name": name, "clientConfig": {"service": service}} for name, service in services.items()]
    shared.put(CONFIGURATION, webhooks=webhooks)
    return shared


class Replica:
    """A process of the webhook, with its clock."""

    def __init__(self, cluster: Cluster, runner: asyncio.Runner) -> None:
        self.now = NOW
        self._runner = runner
        self._path = SecretPath(OwnObjects(cluster, NAMES), lambda: self.now)
        self.accepts = self._path.accepts

    def round(self) -> None:
        """Run a round."""
        self._runner.run(self._path.round())


@pytest.fixture
def start(server: ApiServer) -> Iterator[Callable[[], Replica]]:
    """Starts replicas."""
    with asyncio.Runner() as runner:
        cluster = Cluster(server.url, server.account)
        yield lambda: Replica(cluster, runner)
        runner.run(cluster.close())


def published(server: ApiServer) -> str:
    """Return the path to which API servers send reviews."""
    pods, namespaces, others = (webhook["clientConfig"] for webhook in server.objects[CONFIGURATION]["webhooks"])
    assert pods["service"]["path"] == namespaces["service"]["path"]
    assert "path" not in others["service"]
    return str(pods["service"]["path"])


def test_only_the_published_path_is_accepted(server: ApiServer, start: Callable[[], Replica]) -> None:
    """It is random, and valid for an API server."""
    replica = start()
    assert not replica.accepts("/inject")
    replica.round()
    path = published(server)
    assert re.fullmatch(r"/inject/[a-f0-9]{32}", path)
    assert replica.accepts(path)
    for other in ("/inject", "/", "", path[:-1], path + "0", path.upper(), f"{path}/", "/inject/\xff"):
        assert not replica.accepts(other)
    assert base64.b64decode(server.objects[SECRET]["data"][KEY]) not in path.encode()


def test_nothing_is_accepted_before_the_first_round(start: Callable[[], Replica]) -> None:
    """Not even the path that an empty key has."""
    replica = start()
    assert not replica.accepts(path_of(b"", int(NOW.timestamp() // PERIOD.total_seconds())))


def test_a_round_without_changes_writes_nothing(server: ApiServer, start: Callable[[], Replica]) -> None:
    """Neither the Secret nor the configuration."""
    replica = start()
    replica.round()
    server.calls.clear()
    replica.round()
    assert server.calls == [f"GET {SECRET}", f"GET {CONFIGURATION}"]


def test_a_path_is_replaced_after_its_period(server: ApiServer, start: Callable[[], Replica]) -> None:
    """API servers learn of it later, so the former one is accepted for a while, and then no more."""
    replica = start()
    replica.round()
    former = published(server)
    replica.now += PERIOD
    replica.round()
    assert published(server) != former
    assert replica.accepts(former)
    assert replica.accepts(published(server))
    replica.now += PERIOD
    replica.round()
    assert not replica.accepts(former)


def test_replicas_accept_the_same_paths(server: ApiServer, start: Callable[[], Replica]) -> None:
    """Also with clocks that differ, and they do not replace each other's path."""
    slow, fast = start(), start()
    slow.round()
    fast.now += PERIOD
    fast.round()
    path = published(server)
    assert slow.accepts(path)
    slow.round()
    assert published(server) == path


def test_a_published_path_stays_valid_during_an_outage(server: ApiServer, start: Callable[[], Replica]) -> None:
    """API servers use it until another one can be published."""
    replica = start()
    replica.round()
    path = published(server)
    replica.now += timedelta(hours=5)
    server.failures = [(503, "starting")]
    with pytest.raises(ClusterError):
        replica.round()
    assert replica.accepts(path)


def test_a_path_that_was_removed_is_published_again(server: ApiServer, start: Callable[[], Replica]) -> None:
    """An upgrade of the chart may do that."""
    replica = start()
    replica.round()
    path = published(server)
    for webhook in server.objects[CONFIGURATION]["webhooks"]:
        webhook["clientConfig"]["service"].pop("path", None)
    replica.round()
    assert published(server) == path


@pytest.mark.parametrize("text", ["junk", "a2V5", 7])
def test_an_invalid_key_is_not_replaced(server: ApiServer, start: Callable[[], Replica], text: Any) -> None:
    """The error says what to do."""
    server.objects[SECRET]["data"] = {KEY: text}
    with pytest.raises(PathError, match=r"injector-keys: path\.key is not a key; delete it"):
        start().round()
    assert f"PUT {SECRET}" not in server.calls
