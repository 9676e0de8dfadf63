"""Events on the owners of pods, which report the webhook's decisions in `kubectl describe`."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Final

from cachetools import FIFOCache

from enforcer.kubernetes.webhook.cluster import Cluster, ClusterError
from enforcer.kubernetes.webhook.review import Review
from enforcer.yamltext.objects import Object

_log = logging.getLogger("enforcer.webhook")

_QUEUE_SIZE: Final = 100
"""Events that may wait. Bounded, because any process can call a webhook, and an Event must never delay an admission."""
_MAX_KNOWN: Final = 1000
"""Events that are remembered, so that the pods of one owner do not repeat them."""
_MAX_MESSAGE: Final = 1024
"""Characters in a message: the API server's limit."""


class Recorder:
    """Records each Event once, one after the other; `outcome` is called with `recorded`, `failed` or `dropped`."""

    def __init__(self, cluster: Cluster, clock: Callable[[], datetime], outcome: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._clock = clock
        self._outcome = outcome
        self._queue: asyncio.Queue[Object] = asyncio.Queue(_QUEUE_SIZE)
        self._known: FIFOCache[tuple[str, str, str], None] = FIFOCache(_MAX_KNOWN)

    def note(self, review: Review, warning: bool, reason: str, message: str) -> None:
        """Queue an Event on the owner of a pod; a pod without owner and a dry run have none."""
        owner = _owner(review.pod)
        if owner is None or review.dry:
            return
        key = str(owner["uid"]), reason, message
        if key in self._known:
            return
        try:
            self._queue.put_nowait(self._event(review.namespace, owner, warning, reason, message))
        except asyncio.QueueFull:
            self._outcome("dropped")
            return
        self._known[key] = None

    async def run(self) -> None:
        """Record queued Events until cancelled."""
        while True:
            event = await self._queue.get()
            try:
                await self._cluster.record(event)
            except ClusterError as error:
                self._outcome("failed")
                _log.warning("an Event could not be recorded: %s", error)
            else:
                self._outcome("recorded")

    def _event(self, namespace: str, owner: Object, warning: bool, reason: str, message: str) -> Object:
        now = self._clock().isoformat(timespec="seconds").replace("+00:00", "Z")
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{owner['name']}.{secrets.token_hex(8)}", "namespace": namespace},
            "involvedObject": {**owner, "namespace": namespace},
            "type": "Warning" if warning else "Normal",
            "reason": reason,
            "message": message[:_MAX_MESSAGE],
            "source": {"component": "enforcer-webhook"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }


def _owner(pod: Object) -> Object | None:
    """Return an Event's reference to the controller that owns the pod; None if there is none."""
    owners = pod["metadata"].get("ownerReferences")
    for owner in owners if isinstance(owners, list) else []:
        match owner:
            case {"controller": True, "apiVersion": str(), "kind": str(), "name": str(), "uid": str()}:
                return {key: owner[key] for key in ("apiVersion", "kind", "name", "uid")}
    return None
