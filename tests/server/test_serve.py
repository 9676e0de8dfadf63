"""The start of the process. Its life is tested in `e2e/`."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.configs import config
from harness.process_state import restored_loggers

from enforcer.server.listening import AddressError
from enforcer.server.serve import run


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Restore the process's limits and loggers, which a start changes."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with restored_loggers():
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize("setting", ["listener", "admin"])
def test_an_address_in_use_is_an_error_before_anything_is_served(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], setting: str
) -> None:
    """It names the setting and its file; the sockets that were opened before are closed."""
    path = tmp_path / "config.yaml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        path.write_text(config("http://127.0.0.1:1", 2, **{setting: {"address": address}}))
        expected = f"cannot listen on {address}: it is in use; choose another with {setting}.address in {path}"
        with pytest.raises(AddressError) as refused:
            run(path, {"ENFORCER_CLIENT_SECRET": "secret"})
    assert str(refused.value) == expected
    assert "serving" not in capfd.readouterr().err
