"""The webhook's own certificates: a certificate authority for a single host, and the certificates that it issues.

1. Authority and certificate are renewed when a third of their lifetime is left, long before they expire.
2. A new authority is trusted before it issues, and the old one until it expires: the server is trusted at all times.
3. The authority's key is of no use for other hosts: its name constraint (RFC 5280 §4.2.1.10) permits one host.

Time is an argument.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE: Final = timedelta(days=365)
"""Lifetime of an authority: it is renewed in operation, and a leaked key is soon useless."""
CERTIFICATE_LIFE: Final = timedelta(days=30)
"""Lifetime of a serving certificate; its key is never stored, so that each process has its own."""
_SKEW: Final = timedelta(minutes=5)
"""Tolerance for an API server's clock that is behind ours."""

CERTIFICATES: Final = "ca.crt"
"""The Secret's key for the trusted authorities as PEM; the issuing one comes first."""
KEY: Final = "ca.key"
"""The Secret's key for the issuing authority's private key."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def pem(self) -> bytes:
        """Return key and certificate as one PEM text, as `ssl` reads them from a file."""
        return _key_pem(self.key) + _pem(self.certificate)


@dataclass(frozen=True, slots=True)
class Authority:
    """The issuing authority; `previous` issued before and is still trusted."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    previous: x509.Certificate | None = None

    @property
    def begins(self) -> datetime:
        """When it was created."""
        return self.certificate.not_valid_before_utc + _SKEW

    def bundle(self) -> bytes:
        """Return the certificates to trust, as PEM."""
        return _pem(self.certificate) + (_pem(self.previous) if self.previous is not None else b"")

    def data(self) -> dict[str, str]:
        """Return the Secret's `data`."""
        return {
            CERTIFICATES: base64.b64encode(self.bundle()).decode(),
            KEY: base64.b64encode(_key_pem(self.key)).decode(),
        }

    def issue(self, host: str, now: datetime) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        ends = min(now + CERTIFICATE_LIFE, self.certificate.not_valid_after_utc)
        builder = _builder("enforcer webhook", key, now, ends, x509.BasicConstraints(ca=False, path_length=None))
        builder = builder.issuer_name(self.certificate.subject)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        ours = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return Issued(builder.add_extension(ours, critical=False).sign(self.key, hashes.SHA256()), key)

    def has_issued(self, certificate: x509.Certificate) -> bool:
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True


def current(data: Mapping[str, str], host: str, now: datetime) -> Authority:
    """Return the authority for `host` from the Secret's `data`, or a new one if there is none or it is due for renewal.

    Raises ValueError if `data` is not what `Authority.data` writes.
    """
    stored = _read(data) if data.get(CERTIFICATES) or data.get(KEY) else None
    if stored is not None and _permits(stored.certificate, host) and not is_due(stored.certificate, now):
        return stored
    trusted = stored is not None and now < stored.certificate.not_valid_after_utc
    return _new(host, now, stored.certificate if stored is not None and trusted else None)


def is_due(certificate: x509.Certificate, now: datetime) -> bool:
    """Return whether a certificate is due for renewal: a third of its lifetime or less is left."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now >= ends - (ends - begins) / 3


def _new(host: str, now: datetime, previous: x509.Certificate | None) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    # Each authority has its own name, so that a verifier cannot confuse two of them.
    name = f"enforcer webhook authority {secrets.token_hex(8)}"
    builder = _builder(name, key, now, now + AUTHORITY_LIFE, x509.BasicConstraints(ca=True, path_length=0))
    builder = builder.issuer_name(_name(name))
    # RFC 5280 §4.2.1.10 also permits subdomains of the host; a Service has none.
    builder = builder.add_extension(x509.NameConstraints([x509.DNSName(host)], None), critical=True)
    usage = x509.KeyUsage(
        key_cert_sign=True,
        crl_sign=False,
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    return Authority(builder.add_extension(usage, critical=True).sign(key, hashes.SHA256()), key, previous)


def _builder(
    name: str, key: ec.EllipticCurvePrivateKey, now: datetime, ends: datetime, constraints: x509.BasicConstraints
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(subject_name=_name(name), public_key=key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - _SKEW).not_valid_after(ends)
    builder = builder.add_extension(constraints, critical=True)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _read(data: Mapping[str, str]) -> Authority:
    certificates = x509.load_pem_x509_certificates(_decoded(data, CERTIFICATES))
    key = serialization.load_pem_private_key(_decoded(data, KEY), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificates[0].public_key():
        raise ValueError(f"{KEY} is not the key of the first certificate in {CERTIFICATES}")
    return Authority(certificates[0], key, certificates[1] if len(certificates) > 1 else None)


def _decoded(data: Mapping[str, str], entry: str) -> bytes:
    return base64.b64decode(data.get(entry, ""), validate=True)


def _permits(certificate: x509.Certificate, host: str) -> bool:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return False
    return constraints.permitted_subtrees == [x509.DNSName(host)]


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
