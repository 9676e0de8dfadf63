"""The settings, as read."""

import ssl
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from enforcer.config.load import Loaded, load
from enforcer.errors import ConfigError
from enforcer.settings.addresses import Location, parse_address, parse_server, parse_url

Loads = Callable[..., Loaded]


def test_the_smallest_configuration_has_every_other_setting(loads: Loads) -> None:
    """What is not said is finite and named."""
    config = loads().config
    server = config.authorization_servers[0]
    assert (config.listener.address, config.admin.address) == ("0.0.0.0:8091", "127.0.0.1:9091")
    assert (server.name, server.client_authentication) == ("default", "client_secret_basic")
    assert (server.timeout, server.max_answer, server.retry_after) == (2.0, 65536, 5.0)
    assert (config.upstream.pool.connections, config.upstream.pool.queue) == (256, 1024)
    assert (config.cache.ttl, config.log.level, config.log.format) == (60.0, "info", "text")


def test_a_pool_keeps_its_servers_own_defaults_beside_what_is_set(loads: Loads) -> None:
    """An authorization server's pool is small; setting one number does not make the others an upstream's."""
    pool = (
        loads(changed={"{env: SECRET}": "{env: SECRET}, pool: {connections: 8}"}).config.authorization_servers[0].pool
    )
    assert (pool.connections, pool.queue) == (8, 4096)


def test_units_are_read(loads: Loads) -> None:
    """Seconds and bytes inside, whatever the unit outside."""
    config = loads("cache: {ttl: 2m, negative_ttl: 250ms}\nlimits: {head: 16KiB}\n").config
    assert (config.cache.ttl, config.cache.negative_ttl, config.limits.head) == (120.0, 0.25, 16384)


def test_a_scope_may_be_called_on(loads: Loads) -> None:
    """YAML 1.1 would make a boolean of it."""
    assert loads(changed={"authenticated: true": "scopes: [on, no]"}).config.rules[0].scopes == ("on", "no")


def test_a_configuration_cannot_be_changed(loads: Loads) -> None:
    """One request, one snapshot."""
    config: Any = loads().config
    with pytest.raises(FrozenInstanceError):
        config.rules = ()


def test_a_secret_comes_from_the_environment_or_a_file(loads: Loads, tmp_path: Path) -> None:
    """A file is found beside the configuration, and one line break at its end is no part of the secret."""
    assert loads().config.authorization_servers[0].client_secret.reveal() == "hunter2"
    for content, secret in [("a b\n", "a b"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("ä", "ä")]:
        (tmp_path / "secret").write_bytes(content.encode())
        loaded = loads(changed={"env: SECRET": "file: secret"})
        assert loaded.config.authorization_servers[0].client_secret.reveal() == secret


def test_a_variable_may_say_in_which_file_it_is(loads: Loads, tmp_path: Path) -> None:
    """As containers have it, for secrets that are mounted; the variable itself comes first."""
    (tmp_path / "secret").write_text("from the file\n")
    (tmp_path / "id").write_text("service\n")
    loads()
    config = tmp_path / "config.yaml"
    config.write_text(config.read_text().replace("client_id: enforcer", "client_id: {env: CLIENT_ID}"))
    environment = {"SECRET_FILE": str(tmp_path / "secret"), "CLIENT_ID_FILE": "id"}
    loaded = load(config, environment)
    (server,) = loaded.config.authorization_servers
    assert (server.client_id, server.client_secret.reveal()) == ("service", "from the file")
    assert loaded.files.keys() == {config, tmp_path / "secret", tmp_path / "id"}
    both = load(config, {**environment, "SECRET": "itself"})
    assert both.config.authorization_servers[0].client_secret.reveal() == "itself"
    with pytest.raises(ConfigError, match="cannot be read"):
        load(config, {**environment, "SECRET_FILE": "nowhere"})


def test_a_secret_is_in_no_repr(loads: Loads) -> None:
    """A configuration may be logged."""
    assert "hunter2" not in repr(loads())


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("127.0.0.1:8091", (("127.0.0.1",), 8091)),
        ("localhost:0", (("localhost",), 0)),
        ("[::1]:65535", (("::1",), 65535)),
        ("my-host.example.org:80", (("my-host.example.org",), 80)),
        ("[10.0.0.1,fd00::1]:80", (("10.0.0.1", "fd00::1"), 80)),
        ("[10.0.0.1]:80", (("10.0.0.1",), 80)),
        (":8091", (("0.0.0.0", "::"), 8091)),
    ],
)
def test_an_address_is_host_and_port(text: str, read: tuple[tuple[str, ...], int]) -> None:
    """Port 0 takes a free one; in brackets there may be several hosts, and without any it is every address."""
    assert parse_address(text) == read


@pytest.mark.parametrize(
    "text",
    [
        *("", "8091", "::1:8091", "[::1]", "[1]:5", "a b:5", "host:", "host:70000", "host:-1", "a/b:1", "h:1\n", ":"),
        *("[]:5", "[,]:5", "[10.0.0.1,]:5", "[10.0.0.1,host]:5", "10.0.0.1,10.0.0.2:5", ":70000"),
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """An address that can be read in two ways is none."""
    with pytest.raises(ValueError, match=r"^expected host:port"):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("http://a", Location(False, "a", 80, "a", "/")),
        ("https://a.b:8443/c/d?e=f", Location(True, "a.b", 8443, "a.b:8443", "/c/d?e=f")),
        ("https://[::1]?x", Location(True, "::1", 443, "[::1]", "/?x")),
    ],
)
def test_a_url_leads_somewhere(text: str, location: Location) -> None:
    """The port is the scheme's unless said; a target begins with /."""
    assert parse_url(text) == location


@pytest.mark.parametrize(
    "text",
    [
        *(
            "a",
            "//a",
            "ftp://a",
            "http://",
            "http://a:0",
            "http://a:65536",
            "http://u@a",
            "http://u:p@a",
            "http://a/#b",
        ),
        *("http://a/b c", "http://a/\r\nHost: b", "http://a\\b", "http://[::g]/", "http://ä/", "HTTP://a"),
    ],
)
def test_what_is_no_url_is_refused_and_not_shown(text: str) -> None:
    """A password may stand in it."""
    with pytest.raises(ValueError, match=r"^not a URL such as https://auth.example.org/introspect, without"):
        parse_url(text)


def test_an_app_is_reached_by_url_or_socket() -> None:
    """Without a path, since requests keep theirs."""
    assert parse_server("http://a:1") == Location(False, "a", 1, "a:1", "/")
    assert parse_server("unix:/run/app.sock").unix == "/run/app.sock"
    for text in ["http://a/", "http://a/b", "http://a?b", "unix:run/app.sock", "unix:", "unix:/a\0"]:
        with pytest.raises(ValueError, match=r"^not a server"):
            parse_server(text)


def test_tls_files_are_loaded(loads: Loads, certificate: str) -> None:
    """Both sides' contexts can be made, each as strict as the settings say."""
    files = f"certificate: {certificate}/one.crt, key: {certificate}/one.key"
    ca = f"{certificate}/one.crt"
    app = f"https://127.0.0.1:8090, tls: {{ca: {ca}, {files}}}"
    loaded = loads(f"listener: {{tls: {{{files}, client_ca: {ca}}}}}\n", {"http://127.0.0.1:8090": app})
    listener, upstream = loaded.config.listener.tls, loaded.config.upstream.tls
    assert listener is not None
    assert upstream is not None
    assert listener.context.verify_mode == ssl.CERT_REQUIRED
    optional = loads(
        f"listener: {{tls: {{{files}, client_ca: {ca}, client_certificate: optional}}}}\n"
    ).config.listener.tls
    assert optional is not None
    assert optional.context.verify_mode == ssl.CERT_OPTIONAL
    assert upstream.context.check_hostname
    assert {path.name for path in loaded.files} == {"config.yaml", "one.crt", "one.key"}


def test_settings_are_equal_unless_they_or_their_files_changed(loads: Loads, certificate: str, tmp_path: Path) -> None:
    """So that what did not change is kept at a reload, and a renewed certificate is not overlooked."""
    server = f"https://127.0.0.1:8090, tls: {{ca: {certificate}/one.crt}}"
    changed = {"http://127.0.0.1:8090": server}
    before = loads(changed=changed).config
    assert loads(changed=changed).config == before
    assert hash(loads(changed=changed).config.upstream) == hash(before.upstream)
    assert loads("log: {level: debug}\n", changed).config != before
    file = tmp_path / certificate / "one.crt"
    file.write_bytes(file.read_bytes() + b"\n")
    after = loads(changed=changed).config
    assert after.upstream != before.upstream
    assert after.authorization_servers == before.authorization_servers


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("other.key", "KEY VALUES MISMATCH"),
        ("locked.key", "not PEM of the right kind, or an encrypted key"),
        ("one.crt", "not PEM of the right kind, or an encrypted key"),
    ],
)
def test_tls_files_that_do_not_fit_are_refused(loads: Loads, certificate: str, key: str, reason: str) -> None:
    """At load, not at the first connection; an encrypted key asks nobody for its password."""
    files = f"certificate: {certificate}/one.crt, key: {certificate}/{key}"
    with pytest.raises(
        ConfigError, match=f":6:12: listener.tls: the files cannot be used for TLS: {reason}$"
    ) as refused:
        loads(f"listener: {{tls: {{{files}}}}}\n")
    assert len(refused.value.problems) == 1
