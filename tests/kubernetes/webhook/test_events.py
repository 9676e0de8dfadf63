import asyncio
import copy
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from harness.kubernetes.apiserver import ApiServer, api_server

from enforcer.kubernetes.webhook.cluster import Cluster
from enforcer.kubernetes.webhook.events import Recorder
from enforcer.kubernetes.webhook.review import Review

OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "app-5d8f", "uid": "17", "controller": True}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """One server for all."""
    with api_server(tmp_path_factory.mktemp("account")) as server:
        yield server


def review(dry: bool = False, owners: Any = (OWNER,)) -> Review:
    """Make the review of a pod of an owner."""
    return Review("1", "apps", dry, {"metadata": {"ownerReferences": copy.deepcopy(list(owners))}, "spec": {}})


def recorded(
    server: ApiServer, *notes: tuple[Review, str], wanted: int = 1, failures: int = 0
) -> tuple[list[Any], Counter[str]]:
    """Take Events, of which some are wanted at the server; return what was recorded and what was counted."""
    server.clear()
    server.failures = [(500, "full")] * failures
    counted: Counter[str] = Counter()

    async def run() -> None:
        cluster = Cluster(server.url, server.account)
        done = asyncio.Event()

        def count(result: str) -> None:
            counted[result] += 1
            if counted["recorded"] + counted["failed"] == wanted:
                done.set()

        recorder = Recorder(cluster, lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), count)
        for taken, message in notes:
            recorder.note(taken, False, "EnforcerInjected", message)
        task = asyncio.create_task(recorder.run())
        async with asyncio.timeout(10):
            await done.wait()
        task.cancel()
        await cluster.close()

    asyncio.run(run())
    return server.events, counted


def test_an_event_is_on_the_owner(server: ApiServer) -> None:
    """`kubectl describe` shows it there."""
    (event,), counted = recorded(server, (review(), "mode port"))
    name = event["metadata"].pop("name")
    assert name.startswith("app-5d8f.")
    assert event == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": "apps"},
        "involvedObject": {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": "app-5d8f",
            "uid": "17",
            "namespace": "apps",
        },
        "type": "Normal",
        "reason": "EnforcerInjected",
        "message": "mode port",
        "source": {"component": "enforcer-webhook"},
        "firstTimestamp": "2026-01-02T03:04:05Z",
        "lastTimestamp": "2026-01-02T03:04:05Z",
        "count": 1,
    }
    assert counted == {"recorded": 1}


def test_pods_of_one_owner_that_fare_alike_are_one_event(server: ApiServer) -> None:
    """A hundred replicas cause a single Event."""
    events, _ = recorded(server, *[(review(), "mode port")] * 5, (review(), "another"), wanted=2)
    assert [event["message"] for event in events] == ["mode port", "another"]


def test_a_dry_run_has_no_event(server: ApiServer) -> None:
    """It has no effect at all."""
    events, _ = recorded(server, (review(dry=True), "dry"), (review(), "real"))
    assert [event["message"] for event in events] == ["real"]


@pytest.mark.parametrize(
    "owners",
    [(), ({**OWNER, "controller": False},), ({**OWNER, "uid": 17},), "x", ("x",)],
    ids=["none", "no controller", "no text", "no list", "no objects"],
)
def test_a_pod_of_nobody_has_no_event(server: ApiServer, owners: Any) -> None:
    """A user who creates a pod directly sees the response."""
    events, _ = recorded(server, (review(owners=owners), "nobody"), (review(), "somebody"))
    assert [event["message"] for event in events] == ["somebody"]


def test_what_cannot_be_recorded_keeps_nothing_else(server: ApiServer) -> None:
    """It is counted."""
    events, counted = recorded(server, (review(), "first"), (review(), "second"), wanted=2, failures=1)
    assert [event["message"] for event in events] == ["second"]
    assert counted == {"failed": 1, "recorded": 1}


def test_more_events_than_may_wait_are_dropped(server: ApiServer) -> None:
    """Anybody can call a webhook, as often as they like."""
    events, counted = recorded(server, *[(review(), str(number)) for number in range(150)], wanted=100)
    assert len(events) == 100
    assert counted == {"recorded": 100, "dropped": 50}
