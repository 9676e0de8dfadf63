"""Events on the owners of pods."""

import asyncio
import copy
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from harness.kubernetes.apiserver import ApiServer, api_server
from harness.waiting import TIMEOUT

from enforcer.kubernetes.webhook.cluster import Cluster
from enforcer.kubernetes.webhook.events import Recorder
from enforcer.kubernetes.webhook.review import Review

OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "app-5d8f", "uid": "17", "controller": True}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server for all tests."""
    with api_server(tmp_path_factory.mktemp("account")) as server:
        yield server


def review(dry: bool = False, owners: Any = (OWNER,), namespace: str = "apps") -> Review:
    """Return the review of a pod with these owners."""
    return Review("1", namespace, dry, {"metadata": {"ownerReferences": copy.deepcopy(list(owners))}, "spec": {}})


def recorded(
    server: ApiServer, *notes: tuple[Review, str], wanted: int = 1, failures: int = 0
) -> tuple[list[Any], Counter[str]]:
    """Note Events until the server got or refused the wanted number; return the recorded Events and the counts."""
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
        for pod_review, message in notes:
            recorder.note(pod_review, False, "EnforcerInjected", message)
        task = asyncio.create_task(recorder.run())
        async with asyncio.timeout(TIMEOUT):
            await done.wait()
        task.cancel()
        await cluster.close()

    asyncio.run(run())
    return server.events, counted


def test_an_event_is_on_the_owner(server: ApiServer) -> None:
    """`kubectl describe` shows it for the ReplicaSet."""
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


def test_equal_events_of_one_owner_are_recorded_once(server: ApiServer) -> None:
    """A hundred replicas cause a single Event."""
    events, _ = recorded(server, *[(review(), "mode port")] * 5, (review(), "another"), wanted=2)
    assert [event["message"] for event in events] == ["mode port", "another"]


def test_a_dry_run_has_no_event(server: ApiServer) -> None:
    """It has no side effects."""
    events, _ = recorded(server, (review(dry=True), "dry"), (review(), "real"))
    assert [event["message"] for event in events] == ["real"]


@pytest.mark.parametrize(
    "owners",
    [
        (),
        ({**OWNER, "controller": False},),
        ({**OWNER, "uid": 17},),
        "x",
        ("x",),
        ({**OWNER, "name": "a/../b"},),
        ({**OWNER, "name": "a\nb"},),
        ({**OWNER, "kind": "Pod x"},),
        ({**OWNER, "apiVersion": "v1\n"},),
    ],
    ids=[
        *("none", "not a controller", "uid is not a string", "not a list", "not objects"),
        *("the name is a path", "the name has two lines", "invalid kind", "invalid version"),
    ],
)
def test_a_pod_without_a_controller_has_no_event(server: ApiServer, owners: Any) -> None:
    """A user who creates a pod directly sees the response."""
    events, _ = recorded(server, (review(owners=owners), "nobody"), (review(), "somebody"))
    assert [event["message"] for event in events] == ["somebody"]


def test_a_failed_event_does_not_stop_the_others(server: ApiServer) -> None:
    """The failure is counted."""
    events, counted = recorded(server, (review(), "first"), (review(), "second"), wanted=2, failures=1)
    assert [event["message"] for event in events] == ["second"]
    assert counted == {"failed": 1, "recorded": 1}


def test_excess_events_are_dropped(server: ApiServer) -> None:
    """API servers that cannot record them in time must not fill the memory."""
    notes = [(review(namespace=f"apps{number}"), str(number)) for number in range(150)]
    events, counted = recorded(server, *notes, wanted=100)
    assert len(events) == 100
    assert counted == {"recorded": 100, "dropped": 50}


def test_a_namespace_has_a_share_of_the_events(server: ApiServer) -> None:
    """Its users may create any number of pods, with different messages."""
    notes = [(review(), str(number)) for number in range(50)]
    events, counted = recorded(server, *notes, (review(namespace="other"), "other"), wanted=21)
    assert [event["message"] for event in events] == [*map(str, range(20)), "other"]
    assert counted == {"recorded": 21, "dropped": 30}


def test_the_name_of_an_event_is_valid_for_the_longest_owner(server: ApiServer) -> None:
    """253 characters."""
    (event,), _ = recorded(server, (review(owners=({**OWNER, "name": "a" * 253},)), "mode port"))
    assert len(event["metadata"]["name"]) == 253
