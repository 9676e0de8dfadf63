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

from enforcer.kubernetes.webhook.certificate_rotation import ROUND, CertificateError, FileCertificate, Names, SelfSigned
from enforcer.kubernetes.webhook.certificates import AUTHORITY_LIFE, CERTIFICATE_LIFE, current
from enforcer.kubernetes.webhook.cluster import Cluster, ClusterError

NAMES = Names("enforcer", "injector", "injector-tls", "enforcer-injector")
SECRET = "/api/v1/namespaces/enforcer/secrets/injector-tls"
NOW = datetime.now(UTC)
OTHER = current({}, NAMES.host, NOW)
CONFIGURATION = f"{CONFIGURATIONS}/enforcer-injector"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """One server for all: each test gets objects of its own."""
    with api_server(tmp_path_factory.mktemp("account")) as server:
        yield server


@pytest.fixture
def server(shared: ApiServer) -> ApiServer:
    """A Secret as the chart makes it, and webhooks: ours, one of another Service, one outside the cluster."""
    shared.clear()
    shared.put(SECRET, type="Opaque")
    services = {"pods": {"namespace": "enforcer", "name": "injector"}, "others": {"namespace": "x", "name": "y"}}
    webhooks = [{"name": name, "clientConfig": {"service": service}} for name, service in services.items()]
    outside = {"name": "outside", "clientConfig": {"url": "https://example.org"}}
    shared.put(CONFIGURATION, webhooks=[*webhooks, outside])
    return shared


class Replica:
    """One process of the webhook: its context, and its clock."""

    def __init__(self, cluster: Cluster, runner: asyncio.Runner, now: datetime) -> None:
        self.now = now
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._runner = runner
        self._trust = SelfSigned(cluster, NAMES, self.context, lambda: self.now)

    def round(self) -> Mapping[str, datetime]:
        """Do one round."""
        return self._runner.run(self._trust.round())


Start = Callable[[datetime], Replica]


@pytest.fixture
def start(server: ApiServer) -> Iterator[Start]:
    """Starts replicas, each with the clock at a moment."""
    with asyncio.Runner() as runner:
        cluster = Cluster(server.url, server.account)
        yield lambda now: Replica(cluster, runner, now)
        runner.run(cluster.close())


def shown(context: ssl.SSLContext, bundle: str) -> x509.Certificate:
    """Shake hands as an API server does that trusts `bundle`, and return what was shown."""
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
    """Return what API servers trust of our webhook."""
    return str(server.objects[CONFIGURATION]["webhooks"][0]["clientConfig"]["caBundle"])


def test_the_first_round_makes_all_that_is_missing(server: ApiServer, start: Start) -> None:
    """Secret, caBundle and certificate, and what else is in the objects stays."""
    replica = start(NOW)
    expiries = replica.round()
    assert shown(replica.context, bundle(server)).not_valid_after_utc == expiries["certificate"]
    assert expiries["authority"] == (NOW + AUTHORITY_LIFE).replace(microsecond=0)
    assert server.objects[SECRET]["type"] == "Opaque"
    others = server.objects[CONFIGURATION]["webhooks"][1:]
    assert not any("caBundle" in webhook["clientConfig"] for webhook in others)


def test_a_round_that_finds_all_as_it_is_to_be_writes_nothing(server: ApiServer, start: Start) -> None:
    """An unchanged caBundle is not written again."""
    replica = start(NOW)
    replica.round()
    server.calls.clear()
    replica.round()
    assert server.calls == [f"GET {SECRET}", f"GET {CONFIGURATION}"]


def test_replicas_take_what_the_first_has_stored(server: ApiServer, start: Start) -> None:
    """One authority for all of them."""
    first, second = start(NOW), start(NOW)
    first.round()
    told = bundle(server)
    second.round()
    assert bundle(server) == told
    assert shown(first.context, told) != shown(second.context, told)


def test_of_two_that_are_as_fast_one_gives_way(server: ApiServer, start: Start) -> None:
    """It gets a conflict, and uses the authority that the other has stored in its next round."""
    replica = start(NOW)
    server.between = lambda: server.put(SECRET, metadata={"resourceVersion": "2"}, data=OTHER.data())
    with pytest.raises(ClusterError) as caught:
        replica.round()
    assert caught.value.status == 409
    replica.round()
    assert OTHER.has_issued(shown(replica.context, bundle(server)))


def test_what_somebody_emptied_is_told_again(server: ApiServer, start: Start) -> None:
    """An upgrade of the chart does that."""
    replica = start(NOW)
    replica.round()
    server.objects[CONFIGURATION]["webhooks"][0]["clientConfig"]["caBundle"] = ""
    replica.round()
    shown(replica.context, bundle(server))


def test_a_new_authority_is_trusted_before_it_issues(server: ApiServer, start: Start) -> None:
    """API servers with the new caBundle and with the old one trust the certificate at every moment."""
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
    assert shown(replica.context, before) == shown(replica.context, after)
    replica.now += ROUND
    replica.round()
    shown(replica.context, after)
    with pytest.raises(ssl.SSLCertVerificationError):
        shown(replica.context, before)


def test_a_certificate_is_renewed_while_it_still_holds(server: ApiServer, start: Start) -> None:
    """By the same authority."""
    replica = start(NOW - CERTIFICATE_LIFE * 2 / 3 - timedelta(hours=1))
    replica.round()
    former = shown(replica.context, bundle(server))
    replica.now = NOW
    replica.round()
    assert shown(replica.context, bundle(server)).not_valid_after_utc > former.not_valid_after_utc


def test_a_secret_that_cannot_be_read_is_left_alone(server: ApiServer, start: Start) -> None:
    """The error says what helps."""
    server.objects[SECRET]["data"] = {"ca.crt": "junk"}
    with pytest.raises(CertificateError, match=r"Secret injector-tls: .*; delete its data"):
        start(NOW).round()
    assert f"PUT {SECRET}" not in server.calls


def test_a_secret_that_is_missing_is_an_error(server: ApiServer, start: Start) -> None:
    """The chart makes it, so that nobody else need be allowed to make Secrets."""
    del server.objects[SECRET]
    with pytest.raises(ClusterError, match="404"):
        start(NOW).round()


def provided(folder: Path, host: str) -> tuple[Path, Path, str]:
    """Put a certificate, its key and a bundle where somebody else keeps them."""
    authority = Authority(folder)
    certificate, key = authority.issue(host)
    certificate.replace(folder / "tls.crt")
    key.replace(folder / "tls.key")
    return folder / "tls.crt", folder / "tls.key", base64.b64encode(authority.ca.read_bytes()).decode()


def test_provided_files_are_shown_and_read_again_when_they_change(tmp_path: Path) -> None:
    """The certificate's expiry is returned."""
    certificate, key, trusted = provided(tmp_path, NAMES.host)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trust = FileCertificate(certificate, key, context)
    expiries = asyncio.run(trust.round())
    first = shown(context, trusted)
    assert expiries == {"certificate": first.not_valid_after_utc}
    _, _, trusted = provided(tmp_path, NAMES.host)
    asyncio.run(trust.round())
    assert shown(context, trusted) != first


def test_provided_files_that_do_not_fit_leave_what_is_shown(tmp_path: Path) -> None:
    """A half replaced pair of files leaves the former certificate in use."""
    certificate, key, trusted = provided(tmp_path, NAMES.host)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trust = FileCertificate(certificate, key, context)
    asyncio.run(trust.round())
    first = shown(context, trusted)
    certificate.write_bytes(Authority(tmp_path, "other").issue(NAMES.host)[0].read_bytes())
    with pytest.raises(CertificateError, match=r"tls\.crt with .*tls\.key"):
        asyncio.run(trust.round())
    assert shown(context, trusted) == first
