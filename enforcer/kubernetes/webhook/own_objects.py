"""The webhook's own objects in the cluster: its Secret, and the webhook configuration that API servers read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from enforcer.kubernetes.webhook.cluster import Cluster, Document
from enforcer.yamltext.objects import section


@dataclass(frozen=True, slots=True)
class Names:
    """The names of the webhook's objects."""

    namespace: str
    service: str
    secret: str
    configuration: str

    @property
    def host(self) -> str:
        """The host name by which API servers call the webhook."""
        return f"{self.service}.{self.namespace}.svc"


class OwnObjects:
    """Reads and writes the objects; all methods raise ClusterError."""

    def __init__(self, cluster: Cluster, names: Names) -> None:
        self._cluster = cluster
        self.names = names

    async def secret(self) -> Document:
        """Return the Secret."""
        return await self._cluster.secret(self.names.namespace, self.names.secret)

    async def store(self, secret: Document, data: Mapping[str, str]) -> None:
        """Store entries in the Secret that was read before; status 409 if it has changed since."""
        await self._cluster.replace_secret({**secret, "data": {**section(secret, "data"), **data}})

    async def publish(self, member: tuple[str, ...], value: str, keeps: Callable[[Any], bool]) -> list[Any]:
        """Set a member of the `clientConfig` of our webhooks, except if `keeps` accepts the present value.

        Returns the values that API servers use now.
        """
        configuration = await self._cluster.webhooks(self.names.configuration)
        patch: list[dict[str, Any]] = []
        values = []
        for index, webhook in enumerate(configuration.get("webhooks") or []):
            if not self._is_ours(webhook):
                continue
            present = section(webhook, "clientConfig", *member[:-1]).get(member[-1])
            values.append(present if keeps(present) else value)
            if values[-1] != present:
                # The `test` fails the patch if the list has changed since it was read.
                pointer = "/".join(("clientConfig", *member))
                patch.append({"op": "test", "path": f"/webhooks/{index}/name", "value": webhook["name"]})
                patch.append({"op": "add", "path": f"/webhooks/{index}/{pointer}", "value": value})
        if patch:
            await self._cluster.patch_webhooks(self.names.configuration, patch)
        return values

    def _is_ours(self, webhook: Document) -> bool:
        service = section(webhook, "clientConfig", "service")
        return (service.get("namespace"), service.get("name")) == (self.names.namespace, self.names.service)
