"""Events on the owners of pods, which report the webhook's decisions in `kubectl describe`."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Final

from cachetools import FIFOCache, TTLCache

from enforcer.kubernetes.webhook.cluster import Cluster, ClusterError
from enforcer.kubernetes.webhook.review import MAX_MESSAGE, Review
from enforcer.yamltext.objects import Object, items

_failures = logging.getLogger("enforcer.webhook.failures")

_QUEUE_SIZE: Final = 100
"""Events that may wait: an Event must never delay an admission."""
_PER_NAMESPACE: Final = 20
"""Events of a namespace; further ones are dropped until a minute has passed since the last one."""
_QUIET: Final = 60.0
_MAX_NAMESPACES: Final = 1000
_MAX_KNOWN: Final = 1000
"""Events that are remembered, so that the pods of one owner do not repeat them."""


_MAX_NAME: Final = 253 - 17
"""Characters of the owner's name in the name of an Event, which ends with a dot and 16 digits."""
_OWNER: Final = {
    "apiVersion": re.compile(r"(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?/)?v[a-z0-9]{1,20}"),
    "kind": re.compile(r"[A-Za-z][A-Za-z0-9]{0,62}"),
    "name": re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?"),
    "uid": re.compile(r"[A-Za-z0-9-]{1,64}"),
}
"""The members of an owner reference, and their form: they become part of an Event."""


class Recorder:
    """Records each Event once, one after the other; `outcome` is called with `recorded`, `failed` or `dropped`."""

    def __init__(self, cluster: Cluster, clock: Callable[[], datetime], outcome: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._clock = clock
        self._outcome = outcome
        self._queue: asyncio.Queue[Object] = asyncio.Queue(_QUEUE_SIZE)
        self._known: FIFOCache[tuple[str, str, str], None] = FIFOCache(_MAX_KNOWN)
        self._recorded: TTLCache[str, int] = TTLCache(_MAX_NAMESPACES, _QUIET, lambda: clock().timestamp())

    def note(self, review: Review, warning: bool, reason: str, message: str) -> None:
        """Queue an Event on the owner of a pod; a pod without owner and a dry run have none."""
        owner = _owner(review.pod)
        if owner is None or review.dry:
            return
        message = message[:MAX_MESSAGE]
        key = str(owner["uid"]), reason, message
        if key in self._known:
            return
        number = self._recorded.get(review.namespace, 0)
        if number >= _PER_NAMESPACE:
            self._outcome("dropped")
            return
        try:
            self._queue.put_nowait(self._event(review.namespace, owner, warning, reason, message))
        except asyncio.QueueFull:
            self._outcome("dropped")
            return
        self._known[key] = None
        self._recorded[review.namespace] = number + 1

    async def run(self) -> None:
        """Record queued Events until cancelled."""
        while True:
            event = await self._queue.get()
            try:
                await self._cluster.record(event)
            except ClusterError as error:
                self._outcome("failed")
                _failures.warning("an Event could not be recorded: %s", error)
            else:
                self._outcome("recorded")

    def _event(self, namespace: str, owner: Object, warning: bool, reason: str, message: str) -> Object:
        now = self._clock().isoformat(timespec="seconds").replace("+00:00", "Z")
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{owner['name'][:_MAX_NAME].rstrip('.-')}.{secrets.token_hex(8)}",
                "namespace": namespace,
            },
            "involvedObject": {**owner, "namespace": namespace},
            "type": "Warning" if warning else "Normal",
            "reason": reason,
            "message": message,
            "source": {"component": "enforcer-webhook"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }


def _owner(pod: Object) -> Object | None:
    """Return an Event's reference to the controller that owns the pod; None if there is none, or no valid one.

    API servers validate references only after the admission.
    """
    for owner in items(pod["metadata"], "ownerReferences"):
        if owner.get("controller") is True:
            valid = all(isinstance(owner.get(key), str) and form.fullmatch(owner[key]) for key, form in _OWNER.items())
            return {key: owner[key] for key in _OWNER} if valid else None
    return None
