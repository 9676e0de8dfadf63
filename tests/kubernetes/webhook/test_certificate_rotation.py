"""Rounds that create, renew and distribute the webhook's certificates."""

import asyncio
import base64
import ssl
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from harness.certificates import Authority
from harness.kubernetes.apiserver import CONFIGURATIONS, ApiServer, api_server

from enforcer.kubernetes.webhook.certificate_rotation import ROUND, CertificateError, FileCertificate, SelfSigned
from enforcer.kubernetes.webhook.certificates import AUTHORITY_LIFE, CERTIFICATE_LIFE, current
from enforcer.kubernetes.webhook.cluster import Cluster, ClusterError
from enforcer.kubernetes.webhook.own_objects import Names, OwnObjects

NAMES = Names("enforcer", "injector", "injector-tls", "enforcer-injector")
SECRET = "/api/v1/namespaces/enforcer/secrets/injector-tls"
NOW = datetime.now(UTC)
OTHER = current({}, NAMES.host, NOW)
CONFIGURATION = f"{CONFIGURATIONS}/enforcer-injector"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server for all tests, each with objects of its own."""
    with api_server(tmp_path_factory.mktemp("account")) as server:
        yield server


@pytest.fixture
def server(shared: ApiServer) -> ApiServer:
    """The chart's Secret, and three webhooks: ours, one of another Service, and one outside the cluster."""
    shared.clear()
    shared.put(SECRET, type="Opaque")
    services = {"pods": {"namespace": "enforcer", "name": "injector"}, "others": {"namespace": "x", "name": "y"}}
    webhooks = [{"name": name, "clientConfig": {"service": service}} for name, service in services.items()]
    outside = {"name": "outside", "clientConfig": {"url": "https://example.org"}}
    shared.put(CONFIGURATION, webhooks=[*webhooks, outside])
    return shared


class Replica:
    """A process of the webhook: its TLS context and its clock."""

    def __init__(self, cluster: Cluster, runner: asyncio.Runner, now: datetime) -> None:
        self.now = now
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._runner = runner
        self._trust = SelfSigned(OwnObjects(cluster, NAMES), self.context, lambda: self.now)

    def round(self) -> Mapping[str, datetime]:
        """Run a round."""
        return self._runner.run(self._trust.round())


Start = Callable[[datetime], Replica]


@pytest.fixture
def start(server: ApiServer) -> Iterator[Start]:
    """Starts replicas, each with its own clock."""
    with asyncio.Runner() as runner:
        cluster = Cluster(server.url, server.account)
        yield lambda now: Replica(cluster, runner, now)
        runner.run(cluster.close())


def shown_certificate(context: ssl.SSLContext, bundle: str) -> x509.Certificate:
    """Do a TLS handshake as an API server that trusts `bundle`, and return the certificate."""
    trusting = ssl.create_default_context(cadata=base64.b64decode(bundle).decode())
    ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(ours, theirs, server_hostname=NAMES.host)
    server = context.wrap_bio(theirs, ours, server_side=True)
    for _ in range(2):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    der = client.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der)


def bundle(server: ApiServer) -> str:
    """Return the CA bundle with which API servers verify our webhook."""
    return str(server.objects[CONFIGURATION]["webhooks"][0]["clientConfig"]["caBundle"])


def test_the_first_round_creates_everything(server: ApiServer, start: Start) -> None:
    """The Secret's data, the caBundle and a certificate; everything else in the objects stays."""
    replica = start(NOW)
    expiries = replica.round()
    assert shown_certificate(replica.context, bundle(server)).not_valid_after_utc == expiries["certificate"]
    assert expiries["authority"] == (NOW + AUTHORITY_LIFE).replace(microsecond=0)
    assert server.objects[SECRET]["type"] == "Opaque"
    others = server.objects[CONFIGURATION]["webhooks"][1:]
    assert not any("caBundle" in webhook["clientConfig"] for webhook in others)


def test_other_entries_of_the_secret_stay(server: ApiServer, start: Start) -> None:
    """It also holds the key for the path of reviews."""
    server.objects[SECRET]["data"] = {"path.key": "a2V5"}
    start(NOW).round()
    assert server.objects[SECRET]["data"].keys() == {"path.key", "ca.crt", "ca.key"}


def test_a_round_without_changes_writes_nothing(server: ApiServer, start: Start) -> None:
    """An unchanged caBundle is not written again."""
    replica = start(NOW)
    replica.round()
    server.calls.clear()
    replica.round()
    assert server.calls == [f"GET {SECRET}", f"GET {CONFIGURATION}"]


def test_replicas_share_the_stored_authority(server: ApiServer, start: Start) -> None:
    """All of them use the same authority."""
    first, second = start(NOW), start(NOW)
    first.round()
    stored = bundle(server)
    second.round()
    assert bundle(server) == stored
    assert shown_certificate(first.context, stored) != shown_certificate(second.context, stored)


def test_a_conflicting_write_is_retried_in_the_next_round(server: ApiServer, start: Start) -> None:
    """The second write is a conflict; the next round uses the stored authority."""
    replica = start(NOW)
    server.between = lambda: server.put(SECRET, metadata={"resourceVersion": "2"}, data=OTHER.data())
    with pytest.raises(ClusterError) as caught:
        replica.round()
    assert caught.value.status == 409
    replica.round()
    assert OTHER.has_issued(shown_certificate(replica.context, bundle(server)))


def test_an_emptied_bundle_is_written_again(server: ApiServer, start: Start) -> None:
    """An upgrade of the chart empties it."""
    replica = start(NOW)
    replica.round()
    server.objects[CONFIGURATION]["webhooks"][0]["clientConfig"]["caBundle"] = ""
    replica.round()
    shown_certificate(replica.context, bundle(server))


def test_a_new_authority_is_distributed_before_it_issues(server: ApiServer, start: Start) -> None:
    """API servers with the new and with the old caBundle trust the certificate at every moment."""
    due = NOW - AUTHORITY_LIFE * 2 / 3 + timedelta(minutes=1)
    replica = start(due)
    replica.round()
    replica.now = NOW - timedelta(minutes=10)
    replica.round()
    before = bundle(server)
    replica.now = NOW + timedelta(minutes=1)
    replica.round()
    after = bundle(server)
    assert before != after
    assert shown_certificate(replica.context, before) == shown_certificate(replica.context, after)
    replica.now += ROUND
    replica.round()
    shown_certificate(replica.context, after)
    with pytest.raises(ssl.SSLCertVerificationError):
        shown_certificate(replica.context, before)


def test_a_certificate_is_renewed_before_it_expires(server: ApiServer, start: Start) -> None:
    """By the same authority."""
    replica = start(NOW - CERTIFICATE_LIFE * 2 / 3 - timedelta(hours=1))
    replica.round()
    former = shown_certificate(replica.context, bundle(server))
    replica.now = NOW
    replica.round()
    assert shown_certificate(replica.context, bundle(server)).not_valid_after_utc > former.not_valid_after_utc


def test_an_invalid_secret_is_not_replaced(server: ApiServer, start: Start) -> None:
    """The error says what to do."""
    server.objects[SECRET]["data"] = {"ca.crt": "junk"}
    with pytest.raises(CertificateError, match=r"Secret injector-tls: .*; delete its data"):
        start(NOW).round()
    assert f"PUT {SECRET}" not in server.calls


def test_a_missing_secret_is_an_error(server: ApiServer, start: Start) -> None:
    """The chart creates it, so that the webhook needs no permission to create Secrets."""
    del server.objects[SECRET]
    with pytest.raises(ClusterError, match="404"):
        start(NOW).round()


def provided(folder: Path, host: str) -> tuple[Path, Path, str]:
    """Create a certificate, its key and a CA bundle, as if provided by the user."""
    authority = Authority(folder)
    certificate, key = authority.issue(host)
    certificate.replace(folder / "tls.crt")
    key.replace(folder / "tls.key")
    return folder / "tls.crt", folder / "tls.key", base64.b64encode(authority.ca.read_bytes()).decode()


def test_provided_files_are_used_and_read_again(tmp_path: Path) -> None:
    """The result has the certificate's expiry."""
    certificate, key, trusted = provided(tmp_path, NAMES.host)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trust = FileCertificate(certificate, key, context)
    expiries = asyncio.run(trust.round())
    first = shown_certificate(context, trusted)
    assert expiries == {"certificate": first.not_valid_after_utc}
    _, _, trusted = provided(tmp_path, NAMES.host)
    asyncio.run(trust.round())
    assert shown_certificate(context, trusted) != first


def test_a_mismatched_pair_of_files_is_not_used(tmp_path: Path) -> None:
    """If only one of the two files is replaced, the former certificate stays in use."""
    certificate, key, trusted = provided(tmp_path, NAMES.host)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trust = FileCertificate(certificate, key, context)
    asyncio.run(trust.round())
    first = shown_certificate(context, trusted)
    certificate.write_bytes(Authority(tmp_path, "other").issue(NAMES.host)[0].read_bytes())
    with pytest.raises(CertificateError, match=r"tls\.crt with .*tls\.key"):
        asyncio.run(trust.round())
    assert shown_certificate(context, trusted) == first
