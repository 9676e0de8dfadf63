"""The protocol of a port, as far as manifests reveal it: an HTTP proxy in front of anything else breaks the app.

The first clue that a port has decides, in this order: a webhook configuration, the `appProtocol` of Services, probes,
names, numbers with a registered or usual meaning, the image. A port without a clue is taken for HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any, Final

from enforcer.kubernetes.inject.pod.ports import Port, number_of
from enforcer.kubernetes.workloads import containers
from enforcer.yamltext.objects import Object, section


class Protocol(Enum):
    """The treatment of a port by the enforcer."""

    HTTP = auto()
    HTTPS = auto()
    UNKNOWN = auto()
    """No clue; taken for HTTP."""
    HTTP2 = auto()
    """gRPC, or HTTP/2 with prior knowledge, without TLS."""
    HTTP2_TLS = auto()
    """gRPC with TLS."""
    API_SERVER = auto()
    """HTTPS that only the API server speaks to, which has no access token."""
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class Target:
    """A port of a Service that selects the pods; `port` is its `targetPort`."""

    port: str | int
    entry: Object
    """The entry in the Service's `ports`."""
    from_api_server: bool = False
    """True if a webhook configuration or an APIService in the input refers to it."""

    def leads_to(self, port: Port) -> bool:
        """Return whether it leads to a port of a container."""
        return self.port in (port.number, port.name)


@dataclass(frozen=True, slots=True)
class Finding:
    """The protocol of a port: its name for people, and the clue, a clause that can follow "because"."""

    protocol: Protocol
    name: str = "HTTP"
    clue: str = "nothing says otherwise"
    auxiliary: bool = False
    """True for metrics, health and profiling, which are not what clients of the app request."""

    @property
    def can_be_protected(self) -> bool:
        """True if the enforcer can forward requests to the port."""
        return self.speaks_http1 or self.is_http2

    @property
    def speaks_http1(self) -> bool:
        """True if clients request HTTP/1.1 of the port, or may."""
        return self.protocol in (Protocol.HTTP, Protocol.HTTPS, Protocol.UNKNOWN)

    @property
    def is_http2(self) -> bool:
        """True if the app expects HTTP/2 of its clients."""
        return self.protocol in (Protocol.HTTP2, Protocol.HTTP2_TLS)

    @property
    def is_tls(self) -> bool:
        """True if the app expects TLS."""
        return self.protocol in (Protocol.HTTPS, Protocol.HTTP2_TLS)

    def __str__(self) -> str:
        return f"{self.name} ({self.clue})"


_Kind = tuple[Protocol, str]

_API_SERVER: Final[_Kind] = (Protocol.API_SERVER, "a webhook of the API server")


def _kinds(protocol: Protocol, words: Mapping[str, str]) -> dict[str, _Kind]:
    return {word: (protocol, name) for name, listed in words.items() for word in listed.split()}


_WORDS: Final[Mapping[str, _Kind]] = {
    **_kinds(Protocol.HTTP, {"HTTP": "http http1 web www ws websocket rest ui dashboard"}),
    **_kinds(Protocol.HTTPS, {"HTTPS": "https wss"}),
    **_kinds(Protocol.HTTP2, {"gRPC": "grpc", "HTTP/2": "http2 h2 h2c"}),
    **_kinds(Protocol.HTTP2_TLS, {"gRPC with TLS": "grpcs"}),
    **_kinds(
        Protocol.OTHER,
        {
            "TCP": "tcp",
            "Redis": "redis valkey sentinel",
            "MySQL": "mysql mariadb",
            "PostgreSQL": "postgres postgresql psql pg pgbouncer",
            "MongoDB": "mongo mongodb",
            "SQL": "sql db database jdbc mssql oracle",
            "AMQP": "amqp amqps",
            "Kafka": "kafka",
            "NATS": "nats",
            "MQTT": "mqtt mqtts",
            "ZooKeeper": "zookeeper zk",
            "Cassandra": "cassandra cql",
            "memcached": "memcache memcached",
            "LDAP": "ldap ldaps",
            "mail": "smtp smtps imap imaps pop3",
            "SSH": "ssh sftp",
            "FTP": "ftp",
            "DNS": "dns",
            "syslog": "syslog",
        },
    ),
}
"""Words in the names of ports. As in Istio, a name begins with its protocol; if it does not, any word of it counts."""
_ALWAYS: Final[Mapping[str, _Kind]] = {
    **dict.fromkeys(("webhook", "webhooks"), _API_SERVER),
    **_kinds(Protocol.OTHER, {"cluster traffic": "gossip memberlist raft transport peer epmd"}),
}
"""Words that decide wherever they are in a name: `https-webhook`, `http-memberlist`."""
_AUXILIARY: Final = frozenset(
    {"metrics", "metric", "prom", "prometheus", "telemetry", "exporter", "monitoring", "stats"}
    | {"probe", "probes", "health", "healthz", "healthcheck", "profiling", "pprof", "debug"}
)
"""Words in the names of ports that serve metrics, probes or profiles."""

_NUMBERS: Final[Mapping[int, _Kind]] = {
    **dict.fromkeys((443, 6443, 8443, 9443, 10250), (Protocol.HTTPS, "HTTPS")),
    **dict.fromkeys((4317, 50051), (Protocol.HTTP2, "gRPC")),
    **{
        number: (Protocol.OTHER, name)
        for name, numbers in {
            "FTP": (21,),
            "SSH": (22,),
            "mail": (25, 110, 143, 465, 587, 993, 995),
            "DNS": (53,),
            "LDAP": (389, 636),
            "SMB": (139, 445),
            "syslog": (514,),
            "SQL Server": (1433,),
            "Oracle": (1521,),
            "MQTT": (1883, 8883),
            "NFS": (2049,),
            "ZooKeeper": (2181,),
            "etcd": (2379, 2380),
            "MySQL": (3306, 33060),
            "NATS": (4222,),
            "Erlang": (4369, 25672),
            "PostgreSQL": (5432,),
            "AMQP": (5671, 5672),
            "Hazelcast": (5701,),
            "Redis": (6379, 26379),
            "cluster traffic": (7946,),
            "Cassandra": (9042,),
            "Kafka": (9092,),
            "Elasticsearch's transport": (9300,),
            "memcached": (11211,),
            "Fluentd": (24224,),
            "CockroachDB": (26257,),
            "MongoDB": (27017, 27018, 27019),
            "RethinkDB": (28015, 29015),
            "ActiveMQ": (61616,),
        }.items()
        for number in numbers
    },
}
_IMAGES: Final[Mapping[str, _Kind]] = _kinds(
    Protocol.OTHER,
    {
        "Redis": "redis redis-stack-server valkey keydb dragonfly redis-sentinel redis-cluster",
        "MySQL": "mysql mysql-server mariadb mariadb-galera percona percona-server",
        "PostgreSQL": "postgres postgresql postgresql-repmgr postgis timescaledb pgvector pgbouncer",
        "MongoDB": "mongo mongodb mongodb-community-server percona-server-mongodb",
        "Kafka": "kafka cp-kafka cp-server",
        "ZooKeeper": "zookeeper cp-zookeeper",
        "Cassandra": "cassandra scylla",
        "NATS": "nats",
        "MQTT": "mosquitto eclipse-mosquitto",
        "memcached": "memcached",
        "etcd": "etcd",
        "Hazelcast": "hazelcast",
        "SQL Server": "mssql-server",
    },
)
"""Last parts of images' names. Their ports without a clue of their own are taken for the database's."""


NO_CLUE: Final = Finding(Protocol.UNKNOWN)


def find_protocol(spec: Object, port: Port, targets: Sequence[Target]) -> Finding:
    """Return the protocol of a port of a pod; `targets` are the Services' ports that select the pod."""
    leading = [target for target in targets if target.leads_to(port)]
    names = [port.name or "", *(str(target.entry.get("name") or "") for target in leading)]
    clues = (clue for ask in _CLUES if (clue := ask(spec, port, leading)) is not None)
    auxiliary = any(not _AUXILIARY.isdisjoint(_split(text)) for text in names)
    return replace(next((Finding(*clue) for clue in clues), NO_CLUE), auxiliary=auxiliary)


_Clue = tuple[Protocol, str, str]


def _by_client(spec: Object, port: Port, targets: Sequence[Target]) -> _Clue | None:
    if any(target.from_api_server for target in targets):
        return (*_API_SERVER, "the API server calls it")
    return None


def _by_app_protocol(spec: Object, port: Port, targets: Sequence[Target]) -> _Clue | None:
    declared = (text for text in _app_protocols(targets) if text.lower() != _TCP)
    kinds = ((_kind(text.removeprefix("kubernetes.io/").lower()), text) for text in declared)
    return next(((*kind, f"appProtocol {text}") for kind, text in kinds if kind is not None), None)


def _by_app_protocol_tcp(spec: Object, port: Port, targets: Sequence[Target]) -> _Clue | None:
    """HTTP is a protocol over TCP, too: other clues say more."""
    text = next((text for text in _app_protocols(targets) if text.lower() == _TCP), None)
    return None if text is None else (*_WORDS[_TCP], f"appProtocol {text}")


_TCP: Final = "tcp"


def _app_protocols(targets: Sequence[Target]) -> list[str]:
    return [str(target.entry["appProtocol"]) for target in targets if target.entry.get("appProtocol")]


def _by_probe(spec: Object, port: Port, targets: Sequence[Target]) -> _Clue | None:
    if _kind(port.name or "") == _API_SERVER:
        return None
    for container in containers(spec):
        for key in ("readinessProbe", "livenessProbe", "startupProbe"):
            for action in ("httpGet", "grpc"):
                target = section(container, key, action)
                if container.get("name") == port.container and number_of(container, target.get("port")) == port.number:
                    return _PROBES[action if target.get("scheme") != "HTTPS" else "HTTPS"]
    return None


_PROBES: Final[Mapping[str, _Clue]] = {
    "httpGet": (Protocol.HTTP, "HTTP", "it has an HTTP probe"),
    "HTTPS": (Protocol.HTTPS, "HTTPS", "it has an HTTPS probe"),
    "grpc": (Protocol.HTTP2, "gRPC", "it has a gRPC probe"),
}


def is_probed(spec: Object, port: Port) -> bool:
    """Return whether the kubelet sends requests to a port, to learn whether the app is ready."""
    return _by_probe(spec, port, ()) is not None


def _by_name(spec: Object, port: Port, targets: Sequence[Target]) -> _Clue | None:
    kind = _kind(port.name or "")
    if kind is not None:
        return (*kind, f"its name is {port.name}")
    named = (str(target.entry["name"]) for target in targets if target.entry.get("name"))
    kinds = ((_kind(name), name) for name in named)
    return next(((*kind, f"a Service calls it {name}") for kind, name in kinds if kind is not None), None)


def _by_number(spec: Object, port: Port, targets: Sequence[Target]) -> _Clue | None:
    kind = _NUMBERS.get(port.number)
    return None if kind is None else (*kind, f"its number is {port.number}")


def _by_image(spec: Object, port: Port, targets: Sequence[Target]) -> _Clue | None:
    image = next((str(each.get("image")) for each in containers(spec) if each.get("name") == port.container), "")
    name = re.split(r"[:@]", image.rpartition("/")[2])[0]
    kind = _IMAGES.get(name)
    return None if kind is None else (*kind, f"its image is {name}")


_CLUES: Final[Sequence[Callable[[Object, Port, Sequence[Target]], _Clue | None]]] = (
    _by_client,
    _by_app_protocol,
    _by_probe,
    _by_name,
    _by_number,
    _by_image,
    _by_app_protocol_tcp,
)


def _kind(name: str) -> _Kind | None:
    """Return what a port's name says of its protocol; None if it says nothing."""
    if name.startswith("grpc-web"):  # HTTP/1.1 with bodies of gRPC
        return _WORDS["http"]
    words = _split(name)
    always = (_ALWAYS[word] for word in words if word in _ALWAYS)
    return next(always, next((_WORDS[word] for word in words if word in _WORDS), None))


def _split(name: Any) -> list[str]:
    return re.split(r"[^a-z0-9]+", str(name).lower())
