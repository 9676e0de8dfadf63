"""Settings as read from a configuration."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
from harness.configs import secret_of

from enforcer.config.load import Loaded, load
from enforcer.errors import ConfigError

Loads = Callable[..., Loaded]


def test_every_setting_has_a_default(loads: Loads) -> None:
    """Defaults are finite and named."""
    config = loads().config
    server = config.authorization_servers[0]
    assert (config.listener.address, config.admin.address) == ("0.0.0.0:8091", "127.0.0.1:9091")
    assert (server.name, server.client_authentication) == ("default", "client_secret_basic")
    assert (server.timeout, server.max_answer, server.retry_after) == (2.0, 65536, 5.0)
    assert config.upstream is not None
    assert (config.upstream.pool.connections, config.upstream.pool.queue) == (1024, 1024)
    assert (config.cache.ttl, config.log.level, config.log.format) == (60.0, "info", "text")


def test_a_partly_set_pool_keeps_its_own_defaults(loads: Loads) -> None:
    """An authorization server's pool is small; setting one number does not change the others to an upstream's."""
    pool = (
        loads(changed={"{env: SECRET}": "{env: SECRET}, pool: {connections: 8}"}).config.authorization_servers[0].pool
    )
    assert (pool.connections, pool.queue) == (8, 4096)


def test_units_are_read(loads: Loads) -> None:
    """Values are seconds and bytes, whatever the unit in the file."""
    config = loads("cache: {ttl: 2m, negative_ttl: 250ms}\nlimits: {head: 16KiB}\n").config
    assert (config.cache.ttl, config.cache.negative_ttl, config.limits.head) == (120.0, 0.25, 16384)


def test_a_scope_may_be_called_on(loads: Loads) -> None:
    """YAML 1.1 would make it a boolean."""
    assert loads(changed={"authenticated: true": "scopes: [on, no]"}).config.rules[0].scopes == ("on", "no")


def test_a_configuration_cannot_be_changed(loads: Loads) -> None:
    """A request keeps the snapshot that it began with."""
    config: Any = loads().config
    with pytest.raises(FrozenInstanceError):
        config.rules = ()


def test_a_secret_comes_from_the_environment_or_a_file(loads: Loads, tmp_path: Path) -> None:
    """A file is relative to the configuration, and one line break at its end is not part of the secret."""
    assert secret_of(loads().config.authorization_servers[0]) == "hunter2"
    for content, secret in [("a b\n", "a b"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("ä", "ä")]:
        (tmp_path / "secret").write_bytes(content.encode())
        loaded = loads(changed={"env: SECRET": "file: secret"})
        assert secret_of(loaded.config.authorization_servers[0]) == secret


def test_a_variable_may_name_a_file(loads: Loads, tmp_path: Path) -> None:
    """NAME_FILE is the convention of container images for mounted secrets; NAME itself takes precedence."""
    (tmp_path / "secret").write_text("from the file\n")
    (tmp_path / "id").write_text("service\n")
    loads()
    config = tmp_path / "config.yaml"
    config.write_text(config.read_text().replace("client_id: enforcer", "client_id: {env: CLIENT_ID}"))
    environment = {"SECRET_FILE": str(tmp_path / "secret"), "CLIENT_ID_FILE": "id"}
    loaded = load(config, environment)
    (server,) = loaded.config.authorization_servers
    assert (server.client_id, secret_of(server)) == ("service", "from the file")
    assert loaded.files.keys() == {config, tmp_path / "secret", tmp_path / "id"}
    both = load(config, {**environment, "SECRET": "itself"})
    assert secret_of(both.config.authorization_servers[0]) == "itself"
    with pytest.raises(ConfigError, match="cannot be read"):
        load(config, {**environment, "SECRET_FILE": "nowhere"})


def test_a_secret_is_in_no_repr(loads: Loads) -> None:
    """A configuration may be logged."""
    assert "hunter2" not in repr(loads())


def test_tls_files_are_loaded(loads: Loads, certificate: str) -> None:
    """The contexts of both sides are as strict as the settings say."""
    files = f"certificate: {certificate}/one.crt, key: {certificate}/one.key"
    ca = f"{certificate}/one.crt"
    app = f"https://127.0.0.1:8090, tls: {{ca: {ca}, {files}}}"
    loaded = loads(f"listener: {{tls: {{{files}, client_ca: {ca}}}}}\n", {"http://127.0.0.1:8090": app})
    assert loaded.config.upstream is not None
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
    """A reload keeps what did not change, and notices a renewed certificate."""
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
def test_tls_files_that_do_not_match_are_an_error(loads: Loads, certificate: str, key: str, reason: str) -> None:
    """At load, not at the first connection; an encrypted key never prompts for its password."""
    files = f"certificate: {certificate}/one.crt, key: {certificate}/{key}"
    with pytest.raises(
        ConfigError, match=f":6:12: listener.tls: the files cannot be used for TLS: {reason}$"
    ) as refused:
        loads(f"listener: {{tls: {{{files}}}}}\n")
    assert len(refused.value.problems) == 1
