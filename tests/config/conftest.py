"""A configuration to change, and certificates."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from enforcer.config.load import Loaded, load

SMALLEST = """\
upstream: {url: http://127.0.0.1:8090}
authorization_servers:
  - {introspection_endpoint: http://127.0.0.1:8085/introspect, client_id: enforcer, client_secret: {env: SECRET}}
rules:
  - {name: all, path: /**, authenticated: true}
"""


@pytest.fixture
def loads(tmp_path: Path) -> Callable[..., Loaded]:
    """Return a function that loads the smallest configuration, with replacements and `more` appended."""

    def loads(more: str = "", changed: Mapping[str, str] | None = None) -> Loaded:
        text = SMALLEST
        for old, new in (changed or {}).items():
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "config.yaml"
        path.write_text(text + more, encoding="utf-8")
        return load(path, {"SECRET": "hunter2"})

    return loads


@pytest.fixture
def certificate(tmp_path: Path) -> str:
    """Make `one.crt`, its keys `one.key` and `locked.key`, and a foreign `other.key`; return their folder's name."""
    folder = tmp_path / "tls"
    folder.mkdir()
    key, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    (folder / "one.crt").write_bytes(certificate)
    pkcs8 = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    (folder / "one.key").write_bytes(key.private_bytes(*pkcs8, serialization.NoEncryption()))
    (folder / "other.key").write_bytes(other.private_bytes(*pkcs8, serialization.NoEncryption()))
    (folder / "locked.key").write_bytes(key.private_bytes(*pkcs8, serialization.BestAvailableEncryption(b"word")))
    return folder.name
