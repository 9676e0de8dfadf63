"""The report as text in columns."""

import pytest

from enforcer.kubernetes.inject.report import Line, Result, called, written


def test_lines_are_aligned() -> None:
    """Without trailing blanks."""
    lines = [Line("deployment/app", Result.INJECTED, "port 8080"), Line("job/a", Result.SKIPPED)]
    assert [*written(lines)] == ["deployment/app  injected    port 8080", "job/a           skipped"]
    assert [*written([])] == []


def test_refusals_come_last_and_namespaces_are_named() -> None:
    """As arguments of kubectl."""
    lines = [Line("pod/a", Result.REFUSED, "no", "web"), Line("pod/b", Result.INJECTED, "yes")]
    assert [*written(lines)] == ["pod/b         injected    yes", "pod/a -n web  refused     no"]


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        ({"kind": "Deployment", "metadata": {"name": "app"}}, "deployment/app"),
        ({"kind": "HorizontalPodAutoscaler", "metadata": {"name": "app"}}, "hpa/app"),
        ({"kind": "Pod", "metadata": {"generateName": "app-"}}, "pod/app"),
        ({}, "object/-"),
    ],
)
def test_an_object_is_named_as_in_kubectl(thing: dict[str, object], name: str) -> None:
    """By kind and name, with kubectl's short names."""
    assert called(thing) == name
