"""Events: what became of a pod, told where its owner's history is read (`kubectl describe`)."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from enforcer.kubernetes.webhook.cluster import Cluster, ClusterError
from enforcer.kubernetes.webhook.review import Review

Object = dict[str, Any]

_log = logging.getLogger("enforcer.webhook")

_WAITING: Final = 100
"""Events that may wait to be recorded: anybody can call a webhook, and an Event is never worth an admission."""
_REMEMBERED: Final = 1000
"""Events that are not recorded again: the pods of one owner mostly fare alike."""
_MESSAGE: Final = 1024
"""Characters of a message, as the API server allows it."""


class Recorder:
    """Records Events one after the other, each once; `outcome` counts them by `recorded`, `failed` and `dropped`."""

    def __init__(self, cluster: Cluster, clock: Callable[[], datetime], outcome: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._clock = clock
        self._outcome = outcome
        self._waiting: asyncio.Queue[Object] = asyncio.Queue(_WAITING)
        self._known: OrderedDict[tuple[str, str, str], None] = OrderedDict()

    def note(self, review: Review, warning: bool, reason: str, message: str) -> None:
        """Take an Event on the owner of a review's pod; none where there is no owner, nor for a dry run."""
        owner = _owner(review.pod)
        if owner is None or review.dry:
            return
        key = str(owner["uid"]), reason, message
        if key in self._known:
            return
        try:
            self._waiting.put_nowait(self._event(review.namespace, owner, warning, reason, message))
        except asyncio.QueueFull:
            self._outcome("dropped")
            return
        self._known[key] = None
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    async def run(self) -> None:
        """Record what was taken, until cancelled."""
        while True:
            event = await self._waiting.get()
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
            "message": message[:_MESSAGE],
            "source": {"component": "enforcer-webhook"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }


def _owner(pod: Object) -> Object | None:
    """Return what an Event says of the controller that makes a pod, or None where nobody does."""
    owners = pod["metadata"].get("ownerReferences")
    for owner in owners if isinstance(owners, list) else []:
        match owner:
            case {"controller": True, "apiVersion": str(), "kind": str(), "name": str(), "uid": str()}:
                return {key: owner[key] for key in ("apiVersion", "kind", "name", "uid")}
    return None
