"""The doctor in the places of the enforcer and of the app: the real doors, with a policy and a server of its own."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from enum import Enum, auto
from functools import partial
from time import perf_counter
from types import SimpleNamespace
from typing import Final

from enforcer.config.model import Config
from enforcer.decision_api.door import DecisionDoor, DoorSettings
from enforcer.doctor.front_proxy.probes import MARKER_FIELD, Arrived, Asked, Fields
from enforcer.policy.rules import Rule, RuleDefaults
from enforcer.proxy.door import Door
from enforcer.proxy.exchange import Downstream, Exchange
from enforcer.proxy.listener import Listener
from enforcer.proxy.messages.head import RequestHead
from enforcer.proxy.messages.response_writer import ResponseWriter
from enforcer.proxy.messages.responses import OwnResponse, Refusal
from enforcer.proxy.peer import Peer
from enforcer.proxy.registry import ConnectionRegistry
from enforcer.proxy.snapshot import Snapshot
from enforcer.secret import Secret
from enforcer.server.assembly import assemble
from enforcer.server.listening import bind
from enforcer.server.resources import SharedResources
from enforcer.settings.authorization_server import AuthorizationServer
from enforcer.settings.cors import CorsSettings
from enforcer.telemetry import Telemetry
from enforcer.wire.ticker import Ticker

_CHECK: Final = b"/envoy.service.auth.v3.Authorization/Check"
_UNREADABLE_CHECK: Final = "the message describes no request"
_NOWHERE: Final = AuthorizationServer(
    introspection_endpoint="http://127.0.0.1:1/", client_id="doctor", client_secret=Secret("doctor")
)
"""A server that never responds: port 1 has no service."""
_ALLOW: Final = Rule(name="allow", path="/**", public=True)
_DENY: Final = Rule(name="deny", path="/**", authenticated=True)
_ECHO: Final = OwnResponse(
    200, ["Content-Type: text/plain", "Cache-Control: no-store"], b"the app of enforcer doctor\n"
)


class Answers(Enum):
    """The answers to all questions: allow; refuse, and 503 if there is a token; none, but the end of the connection."""

    ALLOW = auto()
    DENY = auto()
    NONE = auto()


class StandIns:
    """The listeners of the decision API of a configuration, and the app. `answers` may change between two probes.

    Each question and each request for the app is recorded, if it has the marker of the probes.
    """

    def __init__(self, config: Config, marker: bytes) -> None:
        loop = asyncio.get_running_loop()
        self._marker = marker
        self._telemetry = telemetry = Telemetry("doctor")
        self._ticker = ticker = Ticker(loop)
        telemetry.begin()
        scope = SharedResources().scope()
        self._snapshots = {
            answers: assemble(_policy(config, rule), scope, telemetry, ticker, loop)[0]
            for answers, rule in ((Answers.ALLOW, _ALLOW), (Answers.DENY, _DENY), (Answers.NONE, _DENY))
        }
        self.answers = Answers.ALLOW
        self._registry = ConnectionRegistry(self.snapshot, telemetry, ticker)
        self._doors = [
            _DecisionDoor(self, DoorSettings(settings, config.forwarding, telemetry.door(settings.contract)))
            for settings in config.decision
        ]
        self._config = config
        self._servers: list[asyncio.Server] = []
        self._questions: list[tuple[str, Exchange]] = []
        self._requests: list[RequestHead] = []

    @property
    def snapshot(self) -> Snapshot:
        """The policy in force."""
        return self._snapshots[self.answers]

    @property
    def admits(self) -> bool:
        """Whether no question was refused because of its caller."""
        return not any(door.settings.reported for door in self._doors)

    @property
    def allowed(self) -> int:
        """Number of decisions that allowed a request."""
        return sum(metrics.results["allow"] for metrics in {door.settings.metrics for door in self._doors})

    async def listen(self, echo: str) -> None:
        """Listen on the addresses of the decision API, and on `echo`; raises AddressError."""
        for index, (settings, door) in enumerate(zip(self._config.decision, self._doors, strict=True)):
            context = None if settings.tls is None else settings.tls.context
            name = f"decision.{index}.address, or stop the enforcer"
            await self._serve(Listener(self._registry, context, door), settings.address, name)
        await self._serve(Listener(self._registry, None, _EchoDoor(self)), echo, "--echo, or stop the app")

    async def _serve(self, listener: Listener, address: str, setting: str) -> None:
        loop, state = asyncio.get_running_loop(), SimpleNamespace(connections=self._registry.connections)
        factory = partial(listener.protocol, server_state=state)
        for listening in bind(address, setting):
            self._servers.append(await loop.create_server(factory, sock=listening))

    def close(self) -> None:
        """Stop listening, and end all connections."""
        for server in self._servers:
            server.close()
        self._registry.abort()
        self._ticker.stop()

    def record_question(self, address: str, exchange: Exchange) -> None:
        """Record a question to the listener at an address; it is read later, because a message follows its head."""
        self._questions.append((address, exchange))

    def record_request(self, head: RequestHead) -> None:
        """Record a request for the app."""
        self._requests.append(head)

    def take(self) -> tuple[tuple[Asked, ...], tuple[Arrived, ...]]:
        """Return what was recorded since the last call."""
        questions, self._questions = self._questions, []
        requests, self._requests = self._requests, []
        asked = [_asked(*question) for question in questions if self._is_probe(question[1].head)]
        arrived = [Arrived(head.method, head.target, _fields(head)) for head in requests if self._is_probe(head)]
        return tuple(asked), tuple(arrived)

    def _is_probe(self, head: RequestHead) -> bool:
        # A request that cannot be read may be a probe, too.
        marked = (MARKER_FIELD.lower(), self._marker)
        fields = [(name.lower(), value) for name, value in _fields(head)]
        return self._marker in head.target or marked in fields or head.target in (b"", _CHECK)


def _policy(config: Config, rule: Rule) -> Config:
    """Return a configuration with one rule only: callers, limits and fields are those of serving."""
    return replace(
        config,
        authorization_servers=(_NOWHERE,),
        rules=(rule,),
        rule_files=(),
        rule_defaults=RuleDefaults(),
        scope_sets={},
        scope_implies={},
        mode="enforce",
        upstream=None,
        upstreams={},
        cors=CorsSettings(),
        cors_preflight="judge",
        resources=(),
    )


def _asked(address: str, exchange: Exchange) -> Asked:
    head = exchange.head
    fault = head.refusal.detail if isinstance(head.refusal, Refusal) else ""
    if head.target == _CHECK:
        fault = _UNREADABLE_CHECK
    return Asked(head.method, head.target, head.host, address, exchange.client, fault, _fields(head))


def _fields(head: RequestHead) -> Fields:
    lines = head.lines
    passed = [(lines[index], lines[index + 2]) for index in range(0, len(lines), 4)]
    return (*passed, *(field for fields in (head.special or {}).values() for field in fields))


class _DecisionDoor(DecisionDoor):
    """A door of the decision API that records the questions, and decides by the policy in force."""

    def __init__(self, owner: StandIns, settings: DoorSettings) -> None:
        super().__init__(settings)
        self._owner = owner

    def exchange(
        self,
        client: Downstream,
        writer: ResponseWriter,
        registry: ConnectionRegistry,
        peer: Peer,
        head: RequestHead,
        snapshot: Snapshot,
    ) -> Exchange:
        owner = self._owner
        exchange = super().exchange(client, writer, registry, peer, head, owner.snapshot)
        owner.record_question(self.settings.address, exchange)
        if owner.answers is Answers.NONE:
            return _Silence(client, writer, registry, peer, head, snapshot)
        return exchange


class _Silence(Exchange):
    """A question without an answer."""

    def begin(self) -> None:
        """End the connection."""
        self._started_at = perf_counter()
        self._abort()


class _EchoDoor(Door):
    """The door of the app: records each request, and answers 200."""

    def __init__(self, owner: StandIns) -> None:
        self._owner = owner

    def exchange(
        self,
        client: Downstream,
        writer: ResponseWriter,
        registry: ConnectionRegistry,
        peer: Peer,
        head: RequestHead,
        snapshot: Snapshot,
    ) -> Exchange:
        self._owner.record_request(head)
        return _Echo(client, writer, registry, peer, head, snapshot)


class _Echo(Exchange):
    """A request for the app, and its response."""

    def begin(self) -> None:
        """Respond, whatever the request is."""
        self._started_at = perf_counter()
        self._respond(_ECHO)

    def _send_on(self, data: bytes) -> None:
        """Drop a piece of the body."""
