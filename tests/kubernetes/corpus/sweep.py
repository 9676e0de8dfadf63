"""`make corpus`: injects the manifests of public repositories, and counts what becomes of their workloads.

The manifests are not part of this repository; `sources.yaml` names them. They are read from a folder with a git
repository for each source (`OWNER+NAME` or `OWNER/NAME`), or fetched with git. A source that cannot be read is
reported. The sweep fails if an injection crashes, if it is not idempotent, if `uninject` does not restore every byte,
if an object that was valid is no longer, or if the report on a bypass is not what a verification of the output finds.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml
from click import Command
from click.testing import CliRunner, Result
from harness.kubernetes.schemas import violations

from enforcer.cli.kubernetes.inject import command as inject
from enforcer.cli.kubernetes.uninject import command as uninject
from enforcer.kubernetes.annotations import status_of
from enforcer.kubernetes.inject.bypass_report import bypass
from enforcer.kubernetes.verify.verdicts import Verdict, verify
from enforcer.kubernetes.workloads import workload_of
from enforcer.yamltext.documents import ManifestError, read
from enforcer.yamltext.objects import Object, identity
from enforcer.yamltext.stream import Stream

SOURCES: Final = Path(__file__).parent / "sources.yaml"
_SUFFIXES: Final = (".yaml", ".yml", ".json")
_REASONS: Final = {
    "several ports": r"it has several ports",
    "numeric targetPort": r"is the targetPort of",
    "no TCP port": r"no TCP port",
    "hostPort": r"hostPort",
    "hostNetwork": r"hostNetwork",
    "needs a native sidecar": r"before Kubernetes|a classic sidecar",
    "left alone, no HTTP": r"it serves no HTTP",
    "name taken": r"(also has a port called|is also called)",
    "port taken": r"the enforcer's port",
    "anchors": r"anchors",
}


@dataclass(frozen=True, slots=True)
class Source:
    """A folder of manifests in a repository, and the protocol of each workload in it."""

    repository: str
    commit: str
    folder: str
    workloads: Mapping[str, str]


def main() -> int:
    """Run the sweep; return the exit code."""
    parser = argparse.ArgumentParser(description="Inject the manifests of public repositories.")
    parser.add_argument("--from", dest="mirror", type=Path, help="Folder with the git repositories.")
    parser.add_argument("-v", "--verbose", action="store_true", help="List each workload.")
    arguments = parser.parse_args()
    sweep = Sweep(arguments.verbose)
    with tempfile.TemporaryDirectory() as scratch:
        for number, source in enumerate(Source(**entry) for entry in yaml.safe_load(SOURCES.read_text("utf-8"))):
            repository = _repository(source, arguments.mirror, Path(scratch))
            if repository is None:
                sweep.missing.append(source.repository)
                continue
            folder = Path(scratch) / f"manifests-{number}"
            folder.mkdir()
            _check_out(repository, source, folder)
            sweep.run(source, folder)
    return sweep.report()


def _git(repository: Path, *arguments: str) -> bytes | None:
    run = subprocess.run(["git", "--git-dir", repository, *arguments], capture_output=True, check=False)
    return run.stdout if run.returncode == 0 else None


def _repository(source: Source, mirror: Path | None, scratch: Path) -> Path | None:
    """Return the git directory of a source's repository, with its commit; None if there is none."""
    if mirror is not None:
        places = [mirror / source.repository.replace("/", "+"), mirror / source.repository]
        candidates = [place / inner for place in places for inner in ("repo/.git", "repo", ".git", ".")]
        return next((path for path in candidates if (path / "objects").is_dir() and _has(path, source.commit)), None)
    path = scratch / source.repository.replace("/", "+")
    if not path.is_dir():
        subprocess.run(["git", "init", "--quiet", "--bare", path], check=True)
    if not _has(path, source.commit):
        _git(path, "fetch", "--quiet", "--depth=1", f"https://github.com/{source.repository}.git", source.commit)
    return path if _has(path, source.commit) else None


def _has(repository: Path, commit: str) -> bool:
    return _git(repository, "cat-file", "-e", f"{commit}^{{commit}}") is not None


def _check_out(repository: Path, source: Source, folder: Path) -> None:
    """Write the manifests of the source's folder that can be read."""
    names = (_git(repository, "ls-tree", "-z", "--name-only", f"{source.commit}:{source.folder}") or b"").split(b"\0")
    for name in (name.decode() for name in names if name.decode().endswith(_SUFFIXES)):
        data = _git(repository, "show", f"{source.commit}:{source.folder}/{name}")
        if data is not None and _is_manifest(name, data):
            (folder / name).write_bytes(data)


def _is_manifest(name: str, data: bytes) -> bool:
    """Return whether a file is YAML with objects of Kubernetes only: templates and values of charts are not."""
    try:
        documents = [document.value for document in read(name, data.decode()) if document.value is not None]
    except (ManifestError, UnicodeDecodeError):
        return False
    return bool(documents) and all(isinstance(each, dict) and each.get("kind") for each in documents)


class Sweep:
    """Runs the sources, one after the other, and collects outcomes and faults."""

    def __init__(self, verbose: bool) -> None:
        self.missing: list[str] = []
        self.faults: list[str] = []
        self.counts: Counter[tuple[str, str]] = Counter()
        self.verdicts: Counter[Verdict] = Counter()
        self._verbose = verbose

    def run(self, source: Source, folder: Path) -> None:
        """Inject a source's manifests without options, and check the result."""
        place = f"{source.repository} {source.folder}"
        before = "".join(_separated(path.read_bytes().decode()) for path in sorted(folder.iterdir()))
        first = _run(inject, before)
        if first.exception is not None and not isinstance(first.exception, SystemExit):
            self.faults.append(f"{place}: {first.exception!r}")
            return
        if first.stdout:
            self._check(place, before, first.stdout_bytes.decode())
            self._verify(place, first.stdout_bytes.decode(), first.stderr)
        injected = dict(_injected(first.stdout_bytes.decode()))
        details = _details(first.stderr)
        for name, protocol in source.workloads.items():
            outcome = _outcome(protocol, injected.get(name), details.get(name, ""))
            self.counts[protocol.split()[0], outcome] += 1
            if self._verbose:
                print(f"{protocol:12} {outcome:32} {name} of {place}: {details.get(name, '')}")

    def _check(self, place: str, before: str, after: str) -> None:
        if _run(inject, after).stdout_bytes.decode() != after:
            self.faults.append(f"{place}: a second injection changes the manifests")
        if _run(uninject, after).stdout_bytes.decode() != before:
            self.faults.append(f"{place}: uninject does not restore the manifests")
        known = {fault for obj in _objects(before) for fault in _violations(obj)}
        self.faults += [f"{place}: {fault}" for obj in _objects(after) for fault in _violations(obj) - known]

    def _verify(self, place: str, after: str, report: str) -> None:
        """Verify the manifests as they were written, and compare with the report of the injection."""
        summaries = [line for line in report.splitlines() if ", bypass " in line]
        for finding in verify(_objects(after)):
            self.verdicts[finding.verdict] += 1
            lines = [line for line in summaries if line.split(" ", 1)[0] == finding.workload]
            if lines and not any(f", {bypass(finding)}, " in f"{line}, " for line in lines):
                self.faults.append(f"{place}: {finding.workload}: {lines[0]}, but {bypass(finding)}")

    def report(self) -> int:
        """Print the tables; return 1 if a rule was broken, else 0."""
        for protocol in sorted({protocol for protocol, _ in self.counts}):
            rows = {outcome: count for (key, outcome), count in self.counts.items() if key == protocol}
            print(f"{protocol}: {sum(rows.values())}")
            for outcome, count in sorted(rows.items(), key=lambda row: (-row[1], row[0])):
                print(f"  {count:4} {outcome}")
        print("verdicts: " + ", ".join(f"{verdict} {count}" for verdict, count in self.verdicts.most_common()))
        for repository in dict.fromkeys(self.missing):
            print(f"not found: {repository}")
        for fault in self.faults:
            print(f"FAULT: {fault}")
        return 1 if self.faults else 0


def _separated(text: str) -> str:
    separated = text if text.startswith("---") else f"---\n{text}"
    return separated if separated.endswith("\n") else f"{separated}\n"


def _run(command: Command, text: str) -> Result:
    return CliRunner().invoke(command, ["-"], input=text)


def _objects(text: str) -> Sequence[Object]:
    return Stream(list(read("", text))).objects


def _violations(obj: Object) -> set[str]:
    """Return what is invalid in an object; nothing if its kind is not one of Kubernetes' own."""
    try:
        # Without indexes: a container in front of another one changes them.
        texts = (re.sub(r"\.[0-9]+\b", "", violation) for violation in violations(obj, ("1.33",)))
        return {f"{obj['kind']} {identity(obj)}: {violation}" for violation in texts}
    except (FileNotFoundError, KeyError):
        return set()


def _injected(text: str) -> Iterator[tuple[str, tuple[str, int]]]:
    """Yield the name of each injected workload, with its mode and its protected port."""
    for obj in _objects(text):
        workload = workload_of(obj)
        status = None if workload is None else status_of(workload.template)
        if workload is not None and status is not None:
            yield f"{workload.kind.lower()}/{workload.name}", (status.mode, status.port)


def _details(report: str) -> Mapping[str, str]:
    """Return the result and the detail of each object's first line in the report that is not a note."""
    details: dict[str, str] = {}
    for line in report.splitlines():
        name, _, rest = line.partition(" ")
        if not rest.strip().startswith("note"):
            details.setdefault(name, " ".join(rest.split()))
    return details


def _outcome(protocol: str, injected: tuple[str, int] | None, detail: str) -> str:
    if injected is not None:
        mode, port = injected
        expected = protocol.partition(" ")[2]
        return f"mode {mode}" if not expected or int(expected) == port else f"mode {mode}, but port {port}"
    result, _, text = detail.partition(" ")
    if result == "injected":
        return "withheld, because another workload is refused"
    return next((name for name, form in _REASONS.items() if re.search(form, text)), text[:60] or "not in the report")


if __name__ == "__main__":
    sys.exit(main())
