"""TLS settings and the contexts made from them."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from harness.certificates import Authority

from enforcer.settings.connections.tls import ClientTLS, ServerTLS
from enforcer.settings.external import File


def file(path: Path) -> File:
    return File(path, path.read_bytes())


@pytest.fixture
def files(tmp_path: Path) -> dict[str, File]:
    """Make a certificate, its key and the certificate of their authority."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue("localhost")
    return {"certificate": file(certificate), "key": file(key), "ca": file(authority.ca)}


def test_a_server_requests_no_client_certificate_by_default(files: dict[str, File]) -> None:
    """With `client_ca`, one is required, or verified if it is presented."""
    pair: dict[str, Any] = {"certificate": files["certificate"], "key": files["key"]}
    assert ServerTLS(**pair).context.verify_mode == ssl.CERT_NONE
    assert ServerTLS(**pair, client_ca=files["ca"]).context.verify_mode == ssl.CERT_REQUIRED
    optional = ServerTLS(**pair, client_ca=files["ca"], client_certificate="optional")
    assert optional.context.verify_mode == ssl.CERT_OPTIONAL


def test_optional_client_certificates_need_an_authority(files: dict[str, File]) -> None:
    """Otherwise none could be verified."""
    with pytest.raises(ValueError, match="needs client_ca"):
        ServerTLS(certificate=files["certificate"], key=files["key"], client_certificate="optional")


def test_a_server_is_always_verified(files: dict[str, File]) -> None:
    """Certificate and host name: no setting turns it off."""
    for settings in (ClientTLS(), ClientTLS(ca=files["ca"]), ClientTLS(ca=files["ca"], server_name="other")):
        assert settings.context.verify_mode == ssl.CERT_REQUIRED
        assert settings.context.check_hostname


def test_certificate_and_key_are_set_together(files: dict[str, File]) -> None:
    """One without the other cannot be presented."""
    ClientTLS(certificate=files["certificate"], key=files["key"])
    for name in ("certificate", "key"):
        incomplete: dict[str, Any] = {name: files[name]}
        with pytest.raises(ValueError, match="are set together"):
            ClientTLS(**incomplete)


def test_missing_files_leave_a_context_without_them(tmp_path: Path) -> None:
    """For a check on a machine that does not have the files."""
    missing = File(tmp_path / "missing", b"")
    server = ServerTLS(certificate=missing, key=missing, client_ca=missing)
    assert server.context.verify_mode == ssl.CERT_NONE
    assert ClientTLS(ca=missing, certificate=missing, key=missing).context.check_hostname


def test_a_file_that_is_not_pem_is_an_error_without_its_content(tmp_path: Path, files: dict[str, File]) -> None:
    """The file may be a key that was named by mistake."""
    path = tmp_path / "text"
    path.write_text("hunter2")
    with pytest.raises(ValueError, match="the files cannot be used for TLS: ") as refused:
        ServerTLS(certificate=file(path), key=files["key"])
    assert "hunter2" not in str(refused.value)
    with pytest.raises(ValueError, match="the files cannot be used for TLS: "):
        ClientTLS(ca=file(path))


def test_settings_are_compared_without_their_contexts(files: dict[str, File]) -> None:
    """So that a reload with unchanged files keeps the connections."""
    assert ClientTLS(ca=files["ca"]) == ClientTLS(ca=files["ca"])
    assert ClientTLS(ca=files["ca"]) != ClientTLS()
    assert "SSLContext" not in repr(ClientTLS())
