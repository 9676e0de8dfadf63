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
    """Verify as a TLS client does that trusts `bundle`."""
    store = Store(x509.load_pem_x509_certificates(bundle))
    PolicyBuilder().store(store).time(now).build_server_verifier(x509.DNSName(host)).verify(issued.certificate, [])


def test_an_empty_secret_gets_an_authority_whose_certificates_are_trusted() -> None:
    """From five minutes before, for clocks that are behind, until the end."""
    authority = current({}, HOST, NOW)
    issued = authority.issue(HOST, NOW)
    for moment in (NOW - timedelta(minutes=4), NOW, NOW + CERTIFICATE_LIFE - timedelta(seconds=1)):
        verify(issued, authority.bundle(), HOST, moment)
    with pytest.raises(VerificationError):
        verify(issued, authority.bundle(), HOST, NOW + CERTIFICATE_LIFE + timedelta(seconds=1))


def test_the_authority_can_vouch_for_no_other_host() -> None:
    """A leaked key cannot impersonate other servers."""
    authority = current({}, HOST, NOW)
    issued = authority.issue("kubernetes.default.svc", NOW)
    with pytest.raises(VerificationError, match="name constraint"):
        verify(issued, authority.bundle(), "kubernetes.default.svc", NOW)


def test_what_was_stored_is_used_until_a_third_of_its_life_is_left() -> None:
    """And comes back to the byte, so that nothing is written that is there already."""
    authority = current({}, HOST, NOW)
    before = NOW + AUTHORITY_LIFE * 2 / 3 - timedelta(minutes=10)
    assert current(authority.data(), HOST, before).data() == authority.data()
    after = before + timedelta(minutes=20)
    assert current(authority.data(), HOST, after).data() != authority.data()


def test_the_former_authority_is_trusted_beside_the_new_one() -> None:
    """Certificates that it issued are still in use, and are trusted together with the new authority."""
    former = current({}, HOST, NOW)
    issued = former.issue(HOST, NOW + AUTHORITY_LIFE * 2 / 3)
    now = NOW + AUTHORITY_LIFE * 2 / 3 + timedelta(hours=1)
    renewed = current(former.data(), HOST, now)
    verify(issued, renewed.bundle(), HOST, now)
    verify(renewed.issue(HOST, now), renewed.bundle(), HOST, now)
    assert former.has_issued(issued.certificate)
    assert not renewed.has_issued(issued.certificate)
    assert current(renewed.data(), HOST, now).previous == former.certificate


def test_a_former_authority_that_has_ended_is_trusted_no_more() -> None:
    """Nobody was there to renew it in time."""
    former = current({}, HOST, NOW)
    assert current(former.data(), HOST, NOW + AUTHORITY_LIFE + timedelta(days=1)).previous is None


def test_another_host_gets_another_authority() -> None:
    """The Service has another name now."""
    former = current({}, HOST, NOW)
    renewed = current(former.data(), "other.enforcer.svc", NOW)
    verify(renewed.issue("other.enforcer.svc", NOW), renewed.bundle(), "other.enforcer.svc", NOW)


def test_a_certificate_does_not_outlive_its_authority() -> None:
    """It would be shown, and not be trusted."""
    authority = current({}, HOST, NOW)
    late = NOW + AUTHORITY_LIFE - timedelta(days=1)
    assert authority.issue(HOST, late).certificate.not_valid_after_utc == NOW + AUTHORITY_LIFE


def test_a_certificate_is_due_when_a_third_of_its_life_is_left() -> None:
    """For every lifetime."""
    certificate = current({}, HOST, NOW).issue(HOST, NOW).certificate
    assert not is_due(certificate, NOW + CERTIFICATE_LIFE * 2 / 3 - timedelta(minutes=5))
    assert is_due(certificate, NOW + CERTIFICATE_LIFE * 2 / 3)


def damaged(authority: Authority) -> dict[str, dict[str, str]]:
    """Give what a Secret could hold that nobody wrote here."""
    data, other = authority.data(), current({}, HOST, NOW).data()
    return {
        "no base64": {**data, CERTIFICATES: "%"},
        "no certificate": {**data, CERTIFICATES: base64.b64encode(b"junk").decode()},
        "no key": {CERTIFICATES: data[CERTIFICATES]},
        "no key in it": {**data, KEY: base64.b64encode(b"junk").decode()},
        "the key of another": {**data, KEY: other[KEY]},
    }


@pytest.mark.parametrize("what", damaged(current({}, HOST, NOW)))
def test_what_cannot_be_read_is_not_replaced(what: str) -> None:
    """Data that somebody else wrote is an error."""
    with pytest.raises(ValueError):
        current(damaged(current({}, HOST, NOW))[what], HOST, NOW)


def test_the_key_is_shown_by_nothing_but_what_must_hold_it() -> None:
    """Not by a repr."""
    authority = current({}, HOST, NOW)
    secret = authority.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert secret.splitlines()[1].decode() not in repr(authority) + repr(authority.issue(HOST, NOW))
    assert base64.b64decode(authority.data()[KEY]) == secret
