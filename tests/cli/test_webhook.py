"""The options of `enforcer webhook`."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from enforcer.cli.kubernetes.webhook import command

OWN = ("--service=injector", "--secret=injector-keys", "--configuration=injector")
FILES = ("--tls-certificate=tls.crt", "--tls-key=tls.key")

INVALID: dict[str, tuple[tuple[str, ...], str]] = {
    "nothing": ((), "give --service, --secret and --configuration, or both --tls-certificate and --client-ca"),
    "an object is missing": (OWN[:2], "give --service, --secret and --configuration"),
    "nothing to authenticate API servers with": (FILES, "give --service, --secret and --configuration"),
    "a certificate without key": ((*OWN, FILES[0]), "--tls-certificate and --tls-key belong together"),
    "a name without authority": ((*OWN, "--client-name=apiserver"), "--client-name needs --client-ca"),
    "objects without use": ((*OWN, *FILES, "--client-ca=ca.crt"), "give --service, --secret and --configuration"),
    "an unknown annotation": ((*OWN, "--allowed-annotations=mode,imge"), "imge is not an annotation; known: mode, "),
    "a size without unit": ((*OWN, "--review-size=3"), "expected a size such as"),
    "held input without unit": ((*OWN, "--held-input=3"), "expected a size such as"),
    "a timeout without unit": ((*OWN, "--timeout=3"), "expected a duration such as"),
    "no time": ((*OWN, "--timeout=0s"), "expected a duration of more than 0s"),
    "no connections": ((*OWN, "--connections=0"), "0 is not in the range"),
    "no connections of a peer": ((*OWN, "--peer-connections=0"), "0 is not in the range"),
}


@pytest.mark.parametrize(("options", "message"), INVALID.values(), ids=INVALID)
def test_invalid_options_are_refused(options: tuple[str, ...], message: str, tmp_path: Path) -> None:
    """A webhook always authenticates its callers, and no option is ignored."""
    (tmp_path / "namespace").write_text("enforcer")
    environment = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}
    result = CliRunner().invoke(command, [*options, f"--service-account={tmp_path}"], env=environment)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
