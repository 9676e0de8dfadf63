"""A certificate authority for one test run."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import NameOID

from enforcer.settings.external import File

_START = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
_END = _START + datetime.timedelta(days=1)
# RFC 5280 §4.2.1.3: Python 3.13 rejects an authority without it
_SIGNS = x509.KeyUsage(
    key_cert_sign=True,
    crl_sign=True,
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


class Authority:
    """Issues certificates as files in a folder: `ca` is the authority's, the others `NAME.pem` with `NAME.key`."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        own = self._builder(self._name, self._key, x509.BasicConstraints(ca=True, path_length=0))
        own = own.add_extension(_SIGNS, critical=True)
        self.ca = self._write(f"{name}.pem", own.sign(self._key, hashes.SHA256()))

    def issue(self, name: str, ends: datetime.datetime = _END) -> tuple[Path, Path]:
        """Issue a certificate for a host name or an address; return the files of the certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        try:
            alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            alternative = x509.DNSName(name)
        builder = self._builder(subject, key, x509.BasicConstraints(ca=False, path_length=None), ends)
        builder = builder.add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        certificate = self._write(f"{name}.pem", builder.sign(self._key, hashes.SHA256()))
        private = self._folder / f"{name}.key"
        encoding, key_format = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        private.write_bytes(key.private_bytes(encoding, key_format, serialization.NoEncryption()))
        return certificate, private

    def server_context(self, name: str, *, require_client_certificate: bool = False) -> ssl.SSLContext:
        """Return a server's TLS context; a client certificate, if required, must be from this authority."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.ca)
        context.load_cert_chain(*self.issue(name))
        if require_client_certificate:
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client_context(self) -> ssl.SSLContext:
        """Return a client's TLS context that trusts only this authority."""
        return ssl.create_default_context(cafile=self.ca)

    def _builder(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        constraints: x509.BasicConstraints,
        ends: datetime.datetime = _END,
    ) -> x509.CertificateBuilder:
        authority = self._key.public_key()
        builder = x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(_START).not_valid_after(ends)
        builder = builder.add_extension(constraints, critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        return builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority), critical=False)

    def _write(self, name: str, certificate: x509.Certificate) -> Path:
        path = self._folder / name
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return path


def file_of(path: Path) -> File:
    """Return a file as settings hold it."""
    return File(path, b"digest")


def certificate_of(public: CertificatePublicKeyTypes) -> str:
    """Return a certificate for a public key as in `x5c` of a JWK (RFC 7517 §4.7); anybody may have signed it."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "signer")])
    builder = x509.CertificateBuilder(name, name, public, x509.random_serial_number())
    builder = builder.not_valid_before(_START).not_valid_after(_END)
    certificate = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()
