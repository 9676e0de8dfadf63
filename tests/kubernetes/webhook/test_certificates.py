"""The webhook's own authority and the certificates that it issues."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from enforcer.kubernetes.webhook.certificates import (
    AUTHORITY_LIFE,
    CERTIFICATE_LIFE,
    CERTIFICATES,
    KEY,
    Authority,
    Issued,
    current,
    is_due,
)

HOST = "enforcer-injector.enforcer.svc"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def verify(issued: Issued, bundle: bytes, host: str, now: datetime) -> None:
    """Verify a certificate as a TLS client that trusts `bundle`."""
    store = Store(x509.load_pem_x509_certificates(bundle))
    PolicyBuilder().store(store).time(now).build_server_verifier(x509.DNSName(host)).verify(issued.certificate, [])


def test_an_empty_secret_gets_an_authority_with_trusted_certificates() -> None:
    """From five minutes before, for clocks that are behind, until the certificate expires."""
    authority = current({}, HOST, NOW)
    issued = authority.issue(HOST, NOW)
    for moment in (NOW - timedelta(minutes=4), NOW, NOW + CERTIFICATE_LIFE - timedelta(seconds=1)):
        verify(issued, authority.bundle(), HOST, moment)
    with pytest.raises(VerificationError):
        verify(issued, authority.bundle(), HOST, NOW + CERTIFICATE_LIFE + timedelta(seconds=1))


def test_the_authority_is_limited_to_its_host() -> None:
    """A leaked key cannot impersonate other servers."""
    authority = current({}, HOST, NOW)
    issued = authority.issue("kubernetes.default.svc", NOW)
    with pytest.raises(VerificationError, match="name constraint"):
        verify(issued, authority.bundle(), "kubernetes.default.svc", NOW)


def test_a_stored_authority_is_used_for_two_thirds_of_its_lifetime() -> None:
    """The data is the same byte for byte, so that the Secret is not written again."""
    authority = current({}, HOST, NOW)
    before = NOW + AUTHORITY_LIFE * 2 / 3 - timedelta(minutes=10)
    assert current(authority.data(), HOST, before).data() == authority.data()
    after = before + timedelta(minutes=20)
    assert current(authority.data(), HOST, after).data() != authority.data()


def test_the_former_authority_is_trusted_beside_the_new_one() -> None:
    """Certificates of the former authority are still in use."""
    former = current({}, HOST, NOW)
    issued = former.issue(HOST, NOW + AUTHORITY_LIFE * 2 / 3)
    now = NOW + AUTHORITY_LIFE * 2 / 3 + timedelta(hours=1)
    renewed = current(former.data(), HOST, now)
    verify(issued, renewed.bundle(), HOST, now)
    verify(renewed.issue(HOST, now), renewed.bundle(), HOST, now)
    assert former.has_issued(issued.certificate)
    assert not renewed.has_issued(issued.certificate)
    assert current(renewed.data(), HOST, now).previous == former.certificate


def test_an_expired_authority_is_not_trusted() -> None:
    """It expired before a webhook could renew it."""
    former = current({}, HOST, NOW)
    assert current(former.data(), HOST, NOW + AUTHORITY_LIFE + timedelta(days=1)).previous is None


def test_another_host_gets_another_authority() -> None:
    """The Service was renamed."""
    former = current({}, HOST, NOW)
    renewed = current(former.data(), "other.enforcer.svc", NOW)
    verify(renewed.issue("other.enforcer.svc", NOW), renewed.bundle(), "other.enforcer.svc", NOW)


def test_a_certificate_does_not_outlive_its_authority() -> None:
    """Clients would not trust it after that."""
    authority = current({}, HOST, NOW)
    late = NOW + AUTHORITY_LIFE - timedelta(days=1)
    assert authority.issue(HOST, late).certificate.not_valid_after_utc == NOW + AUTHORITY_LIFE


def test_a_certificate_is_due_after_two_thirds_of_its_lifetime() -> None:
    """For every lifetime."""
    certificate = current({}, HOST, NOW).issue(HOST, NOW).certificate
    assert not is_due(certificate, NOW + CERTIFICATE_LIFE * 2 / 3 - timedelta(minutes=5))
    assert is_due(certificate, NOW + CERTIFICATE_LIFE * 2 / 3)


def damaged(authority: Authority) -> dict[str, dict[str, str]]:
    """Return invalid data of a Secret, by the kind of damage."""
    data, other = authority.data(), current({}, HOST, NOW).data()
    return {
        "not base64": {**data, CERTIFICATES: "%"},
        "not a certificate": {**data, CERTIFICATES: base64.b64encode(b"junk").decode()},
        "a missing key": {CERTIFICATES: data[CERTIFICATES]},
        "not a key": {**data, KEY: base64.b64encode(b"junk").decode()},
        "another authority's key": {**data, KEY: other[KEY]},
    }


@pytest.mark.parametrize("damage", damaged(current({}, HOST, NOW)))
def test_invalid_data_is_an_error(damage: str) -> None:
    """It is not replaced: somebody else has written it."""
    with pytest.raises(ValueError):
        current(damaged(current({}, HOST, NOW))[damage], HOST, NOW)


def test_the_private_key_is_only_in_the_secret() -> None:
    """A repr does not contain it."""
    authority = current({}, HOST, NOW)
    secret = authority.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert secret.splitlines()[1].decode() not in repr(authority) + repr(authority.issue(HOST, NOW))
    assert base64.b64decode(authority.data()[KEY]) == secret
