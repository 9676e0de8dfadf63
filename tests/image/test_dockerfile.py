"""Rules that the Dockerfile must keep, checked in its text."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
FILE = (ROOT / "Dockerfile").read_text("utf-8")
LINES = [
    (word, rest)
    for line in re.sub(r"\\\n", "", re.sub(r"^#.*\n", "", FILE, flags=re.MULTILINE)).splitlines()
    if line.strip()
    for word, rest in [line.split(maxsplit=1)]
]
LAST = max(index for index, (word, _) in enumerate(LINES) if word == "FROM")
FINAL = LINES[LAST:]


def of_final(instruction: str) -> list[str]:
    """Return the arguments of an instruction in the final stage."""
    return [rest for word, rest in FINAL if word == instruction]


def test_the_build_image_differs_from_the_final_base() -> None:
    """Both have the same Python at the same path; the compiler is not in the final image."""
    assert [rest.split()[0] for word, rest in LINES if word == "FROM"] == ["${BUILD_IMAGE}", "${BASE_IMAGE}"]
    assert [word for word, _ in LINES[:2]] == ["ARG", "ARG"]
    final, build = (dict([rest.split("=")]) for _, rest in LINES[:2])
    assert final["BASE_IMAGE"] == build["BUILD_IMAGE"].replace("-bookworm", "-slim-bookworm")


def test_the_image_is_compiled_by_default() -> None:
    """COMPILED sets the variable of the build hook."""
    assert ("ARG", "COMPILED=true") in LINES
    assert ("ENV", "HATCH_BUILD_HOOK_ENABLE_CUSTOM=${COMPILED}") in LINES
    hooks = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]
    assert hooks["custom"]["enable-by-default"] is False


def test_the_image_is_the_base_and_one_folder() -> None:
    """It contains nothing else of the build stage."""
    known = {"FROM", "ARG", "LABEL", "COPY", "ENV", "WORKDIR", "RUN", "USER", "EXPOSE", "ENTRYPOINT", "CMD"}
    assert {word for word, _ in FINAL} <= known
    assert of_final("COPY") == ["--from=build /opt/enforcer /opt/enforcer"]


def test_a_base_of_another_python_fails_the_build() -> None:
    """The only RUN of the final stage imports the server. It needs no shell, and writes no bytecode."""
    (step,) = of_final("RUN")
    assert json.loads(step) == ["/opt/enforcer/bin/python", "-c", "import enforcer.server.serve"]
    words = [word for word, _ in FINAL]
    assert words.index("COPY") < words.index("RUN") < words.index("USER")
    assert "PYTHONDONTWRITEBYTECODE=1" in next(rest for word, rest in FINAL[: words.index("RUN")] if word == "ENV")


def test_the_user_is_a_number_that_is_not_root() -> None:
    """The kubelet cannot check runAsNonRoot with a user name."""
    assert of_final("USER") == ["65532:65532"]


def test_no_shell_starts_the_command() -> None:
    """The arguments are the command line, and the entry point of the base is not used."""
    assert [json.loads(rest) for rest in of_final("ENTRYPOINT")] == [[]]
    assert [json.loads(rest) for rest in of_final("CMD")] == [["enforcer", "run", "/etc/enforcer/config.yaml"]]


def test_the_image_has_three_programs() -> None:
    """The argument chooses the program."""
    assert set(PROJECT["project"]["scripts"]) == {"enforcer", "authserver", "country-app"}


def test_the_label_has_the_version_of_the_project() -> None:
    """By default; a build argument overrides it."""
    assert f"VERSION={PROJECT['project']['version']}" in of_final("ARG")


def test_every_package_of_the_wheel_is_copied_and_not_ignored() -> None:
    """.dockerignore excludes everything else from the build context."""
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = {source for word, rest in LINES[:LAST] if word == "COPY" for source in rest.split()[:-1]}
    not_ignored = {
        line[1:].rstrip("/") for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[:1] == "!"
    }
    assert set(packages) <= copied
    assert {re.sub(r"\w+\.lock", "*.lock", source) for source in copied} == not_ignored
