"""The rules of the Dockerfile, read from itself."""

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
LAST = max(at for at, (word, _) in enumerate(LINES) if word == "FROM")
FINAL = LINES[LAST:]


def of_final(word: str) -> list[str]:
    """Return what an instruction says in the stage that is shipped."""
    return [rest for found, rest in FINAL if found == word]


def test_one_image_builds_and_another_is_shipped() -> None:
    """Of the same Python, at the same place; what compiles is not shipped."""
    assert [rest.split()[0] for word, rest in LINES if word == "FROM"] == ["${BUILD_IMAGE}", "${BASE_IMAGE}"]
    assert [word for word, _ in LINES[:2]] == ["ARG", "ARG"]
    shipped, building = (dict([rest.split("=")]) for _, rest in LINES[:2])
    assert shipped["BASE_IMAGE"] == building["BUILD_IMAGE"].replace("-bookworm", "-slim-bookworm")


def test_what_is_built_is_compiled_unless_said_otherwise() -> None:
    """The build hook has its own name for it."""
    assert ("ARG", "COMPILED=true") in LINES
    assert ("ENV", "HATCH_BUILD_HOOK_ENABLE_CUSTOM=${COMPILED}") in LINES
    hooks = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]
    assert hooks["custom"]["enable-by-default"] is False


def test_what_is_shipped_is_the_base_and_one_folder() -> None:
    """Nothing of the build is left."""
    known = {"FROM", "ARG", "LABEL", "COPY", "ENV", "WORKDIR", "RUN", "USER", "EXPOSE", "ENTRYPOINT", "CMD"}
    assert {word for word, _ in FINAL} <= known
    assert of_final("COPY") == ["--from=build /opt/enforcer /opt/enforcer"]


def test_a_base_of_another_python_fails_the_build() -> None:
    """By the one step there: what serves is imported. It takes no shell, and leaves no bytecode."""
    (step,) = of_final("RUN")
    assert json.loads(step) == ["/opt/enforcer/bin/python", "-c", "import enforcer.server.serve"]
    words = [word for word, _ in FINAL]
    assert words.index("COPY") < words.index("RUN") < words.index("USER")
    assert "PYTHONDONTWRITEBYTECODE=1" in next(rest for word, rest in FINAL[: words.index("RUN")] if word == "ENV")


def test_it_runs_as_a_number_that_is_not_root() -> None:
    """The kubelet's runAsNonRoot cannot tell what a name is."""
    assert of_final("USER") == ["65532:65532"]


def test_nothing_is_started_by_a_shell() -> None:
    """The argument vector is the command line; a base's own entry point is put away."""
    assert [json.loads(rest) for rest in of_final("ENTRYPOINT")] == [[]]
    assert [json.loads(rest) for rest in of_final("CMD")] == [["enforcer", "run", "/etc/enforcer/config.yaml"]]


def test_three_programs_are_in_the_image() -> None:
    """One image, by argument."""
    assert set(PROJECT["project"]["scripts"]) == {"enforcer", "authserver", "country-app"}


def test_the_label_has_the_version_of_the_project() -> None:
    """Unless the build says another."""
    assert f"VERSION={PROJECT['project']['version']}" in of_final("ARG")


def test_every_package_of_the_wheel_is_copied_and_let_through() -> None:
    """.dockerignore keeps all else away from the build."""
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = {source for word, rest in LINES[:LAST] if word == "COPY" for source in rest.split()[:-1]}
    let_through = {
        line[1:].rstrip("/") for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[:1] == "!"
    }
    assert set(packages) <= copied
    assert {re.sub(r"\w+\.lock", "*.lock", source) for source in copied} == let_through
