"""The plan of a release's images: which are built, in which way, and the lines that report it."""

import re
from pathlib import Path

import pytest
import release_images
from release_images import MACHINES, describe, own_architecture, plan

ROOT = Path(__file__).parent.parent
VERSION = "1.2.0"
IMAGE = f"r.example.org/token-enforcer:{VERSION}"
OWN = own_architecture()
FOREIGN = next(name for name in MACHINES if name != OWN)


def builds(builder: str = "docker", *, emulated: bool = True) -> list[release_images.ImageBuild]:
    can_run = (lambda _: True) if emulated else OWN.__eq__
    return [*plan(builder, IMAGE, VERSION, ["REVISION=abc"], Path("dist"), can_run)]


@pytest.mark.skipif(OWN not in MACHINES, reason="a machine of another architecture")
class TestPlan:
    def test_each_platform_has_an_archive(self) -> None:
        """The image for this machine is built last, so that the name means it afterwards."""
        assert [build.archive.name for build in builds()] == [
            f"token-enforcer-1.2.0-linux-{architecture}.image.tar" for architecture in (FOREIGN, OWN)
        ]

    def test_with_an_emulator_both_are_compiled(self) -> None:
        """From the same Dockerfile."""
        for build in builds():
            (command, save) = build.commands
            assert command[: command.index("--tag")] == (
                "docker", "build", "--platform", f"linux/{build.architecture}",
            )  # fmt: skip
            assert command[command.index("--file") + 1] == "Dockerfile"
            assert command[-3:] == ("--build-arg", "REVISION=abc", ".")
            assert save == ("docker", "save", "--output", str(build.archive), IMAGE)
            assert describe(build).endswith(f"{build.archive.name}, compiled")

    def test_without_an_emulator_the_foreign_one_is_interpreted(self) -> None:
        """It is built by this machine's programs, and the release says so."""
        foreign, own = builds(emulated=False)
        command = foreign.commands[0]
        assert command[command.index("--file") + 1] == "image/cross.Dockerfile"
        assert {f"BUILDPLATFORM=linux/{OWN}", f"MACHINE={MACHINES[FOREIGN]}"} <= set(command)
        assert "INTERPRETED, and not tried: this machine cannot run programs of" in describe(foreign)
        assert own.compiled

    def test_buildah_writes_the_archive_by_a_push(self) -> None:
        """It has no command to save an image."""
        build = builds("buildah")[0]
        assert build.commands[1] == ("buildah", "push", IMAGE, f"docker-archive:{build.archive}:{IMAGE}")


def test_a_registered_emulator_runs_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it is disabled."""
    monkeypatch.setattr(release_images, "_BINFMT", tmp_path)
    monkeypatch.setattr("sys.platform", "linux")
    assert release_images.runs(OWN)
    assert not release_images.runs(FOREIGN)
    registered = tmp_path / f"qemu-{MACHINES[FOREIGN]}"
    registered.write_text("enabled\ninterpreter /usr/bin/qemu\n")
    assert release_images.runs(FOREIGN)
    registered.write_text("disabled\n")
    assert not release_images.runs(FOREIGN)


def test_the_first_builder_that_responds_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A docker whose daemon does not run is passed over."""
    monkeypatch.setattr(release_images, "works", lambda builder: builder != "docker")
    assert release_images.find_builder() == "podman"
    monkeypatch.setattr(release_images, "works", lambda builder: False)
    assert release_images.find_builder() is None


def stages(name: str) -> list[list[str]]:
    """Return the instructions of each stage, without comments."""
    text = re.sub(r"\\\n", "", re.sub(r"^#.*\n", "", (ROOT / name).read_text("utf-8"), flags=re.MULTILINE))
    lines = [re.sub(r"\s+", " ", line) for line in text.splitlines() if line.strip()]
    starts = [index for index, line in enumerate(lines) if line.startswith("FROM")]
    return [lines[start:end] for start, end in zip([0, *starts], [*starts, len(lines)], strict=True)]


def test_the_cross_dockerfile_follows_the_dockerfile() -> None:
    """It differs in the platforms of the build stage and of the packages, and executes nothing in the final stage."""
    (_, build, final), (_, cross_build, cross_final) = stages("Dockerfile"), stages("image/cross.Dockerfile")
    assert cross_final == [line for line in final if not line.startswith("RUN")]
    here, there = ([line for line in stage[1:] if line not in other] for stage, other in (
        (build, cross_build), (cross_build, build),
    ))  # fmt: skip
    assert [line.split()[0] for line in here] == ["RUN", "ARG", "ENV"]
    assert "image/run.lock" in here[0]
    assert here[1:] == ["ARG COMPILED=true", "ENV HATCH_BUILD_HOOK_ENABLE_CUSTOM=${COMPILED}"]
    assert there[0] == "ARG MACHINE"
    assert len(there) == 2
    assert "--require-hashes" in there[1]
    assert cross_build[0] == "FROM --platform=${BUILDPLATFORM} ${BUILD_IMAGE} AS build"
