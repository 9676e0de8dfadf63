"""The report of a verification, as text in columns and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from enforcer.kubernetes.verify.verdicts import Finding, Opening, Verdict

_NOTE: Final = "note"

_DETAILS: Final = {
    Verdict.PORTLESS: "nothing in the manifests suggests that it listens on a port",
    Verdict.EXCLUDED: "its pods are labelled enforcer.dev/inject: disabled",
}


def as_text(findings: Iterable[Finding]) -> Iterator[str]:
    """Yield lines: for each workload one for each opening or condition, and its notes."""
    lines = [(called(finding), *row) for finding in findings for row in rows(finding)]
    width = max((len(name) for name, _, _ in lines), default=0)
    for name, result, detail in lines:
        yield f"{name:{width}}  {result:11}  {detail}".rstrip()


def called(finding: Finding) -> str:
    """Return the name of a workload, as kubectl accepts it."""
    return f"{finding.workload} -n {finding.namespace}" if finding.namespace else finding.workload


def rows(finding: Finding) -> Iterator[tuple[str, str]]:
    """Yield the verdict with each reason, and the notes."""
    match finding.verdict:
        case Verdict.OPEN:
            yield from ((Verdict.OPEN, opening.detail) for opening in finding.openings)
        case Verdict.CONDITIONAL:
            yield Verdict.CONDITIONAL, f"protected if {' and '.join(finding.conditions)}"
        case Verdict.PROTECTED:
            ports = ", ".join(map(str, sorted(finding.protected)))
            yield Verdict.PROTECTED, f"port {ports} only through the enforcer" if ports else "only through the enforcer"
        case other:
            yield other, _DETAILS[other]
    yield from ((_NOTE, note) for note in finding.notes)


def as_json(findings: Sequence[Finding]) -> str:
    """Write the findings as JSON."""
    return json.dumps({"workloads": [_object(finding) for finding in findings]}, indent=2, ensure_ascii=False) + "\n"


def _object(finding: Finding) -> dict[str, Any]:
    return {
        "workload": finding.workload,
        "namespace": finding.namespace,
        "verdict": finding.verdict.value,
        "protectedPorts": sorted(finding.protected),
        "openings": [_opening(opening) for opening in finding.openings],
        "conditions": finding.conditions,
        "notes": finding.notes,
    }


def _opening(opening: Opening) -> dict[str, Any]:
    written: dict[str, Any] = {"detail": opening.detail}
    if opening.port is not None:
        endpoint = opening.port.endpoint
        written |= {"port": endpoint.number, "protocol": endpoint.protocol, "container": opening.port.container}
    return written
