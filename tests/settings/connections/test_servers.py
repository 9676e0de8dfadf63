"""Settings of the listener, the admin server and upstreams."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from enforcer.settings.connections.addresses import parse_address
from enforcer.settings.connections.servers import Admin, Listener, Upstream


def test_only_the_listener_is_reachable_from_other_hosts_by_default() -> None:
    """Everybody who can connect to the admin server can read the metrics."""
    assert parse_address(Listener().address) == (("0.0.0.0",), 8091)
    assert parse_address(Admin().address) == (("127.0.0.1",), 9091)
    assert Admin().credential is None


@pytest.mark.parametrize("section", [Listener, Admin])
@pytest.mark.parametrize("address", ["localhost", ":65536", "127.0.0.1:http", "", 8091, None, "http://127.0.0.1:1"])
def test_an_invalid_address_is_an_error(section: Any, address: object) -> None:
    """The message has an example."""
    with pytest.raises(ValidationError, match=r"expected host:port"):
        TypeAdapter(section).validate_python({"address": address})


@pytest.mark.parametrize("url", ["http://127.0.0.1:8090", "https://app.example.org", "unix:/run/app.sock"])
def test_an_upstream_is_a_url_or_a_socket(url: str) -> None:
    """As it was written."""
    assert TypeAdapter(Upstream).validate_python({"url": url}).url == url


@pytest.mark.parametrize("url", ["127.0.0.1:8090", "http://user:word@app", "http://app/path", "ftp://app", 1, None])
def test_an_invalid_upstream_is_an_error_that_does_not_show_it(url: object) -> None:
    """It may contain a password."""
    with pytest.raises(ValidationError, match="not a server such as") as refused:
        TypeAdapter(Upstream).validate_python({"url": url})
    assert "word" not in refused.value.errors()[0]["msg"]


@pytest.mark.parametrize("url", ["http://app", "unix:/run/app.sock"])
def test_tls_settings_need_an_https_upstream(url: str) -> None:
    """Otherwise an operator would believe that the connection is encrypted."""
    with pytest.raises(ValidationError, match=r"tls is only for https://"):
        TypeAdapter(Upstream).validate_python({"url": url, "tls": {}})
    assert TypeAdapter(Upstream).validate_python({"url": "https://app", "tls": {}}).tls is not None


def test_an_upstream_needs_a_url() -> None:
    """It has no default."""
    with pytest.raises(ValidationError, match="missing"):
        TypeAdapter(Upstream).validate_python({})
