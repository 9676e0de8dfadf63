"""Streams of documents and their Kubernetes objects."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from harness.kubernetes.manifests import deployment, service, written

from enforcer.kubernetes.inject.manifest_set import Outcome
from enforcer.yamltext.documents import read
from enforcer.yamltext.stream import Stream, StreamError

NEW = {"kind": "New", "metadata": {"name": "n"}}


def stream(*texts: str) -> Stream:
    """Return the stream of several files."""
    return Stream([document for index, text in enumerate(texts) for document in read(f"{index}.yaml", text)])


def outcome(objects: Any, *added: tuple[int, Any]) -> Outcome:
    return Outcome(tuple(objects), added, ())


def test_objects_are_found_in_documents_and_lists() -> None:
    """Also in nested lists; other values are ignored."""
    inner = {"apiVersion": "v1", "kind": "List", "items": [{"kind": "C"}]}
    outer = {"apiVersion": "v1", "kind": "List", "items": [{"kind": "B"}, inner, None]}
    manifests = stream(written([{"kind": "A"}, outer], "indented") + "---\n[1]\n--- x\n---\n")
    assert [entry["kind"] for entry in manifests.objects] == ["A", "B", "C"]
    assert manifests.as_yaml(outcome(manifests.objects)) == "".join(document.text for document in manifests.documents)


def test_a_new_object_is_added_to_the_list_of_its_workload() -> None:
    """If the workload is not in a list, at the end of the stream."""
    inner = {"apiVersion": "v1", "kind": "List", "items": [{"kind": "C"}]}
    outer = {"apiVersion": "v1", "kind": "List", "items": [{"kind": "B"}, inner]}
    manifests = stream(written([{"kind": "A"}, outer], "indented"))
    for at, place in enumerate((2, 1, 1)):
        documents = [*yaml.safe_load_all(manifests.as_yaml(outcome(manifests.objects, (at, NEW))))]
        assert len(documents) == (3 if at == 0 else 2)
        within = documents[1]["items"] + documents[1]["items"][1]["items"]
        assert NEW in (documents[place:] if at == 0 else within)


def test_removing_an_object_removes_its_document_or_list_item() -> None:
    """A list without items stays an empty list."""
    manifests = stream("kind: A\n---\nkind: B\n---\napiVersion: v1\nkind: List\nitems: [{kind: C}]\n")
    assert manifests.as_yaml(outcome([None, manifests.objects[1], None])) == (
        "---\nkind: B\n---\napiVersion: v1\nkind: List\nitems: []\n"
    )


@pytest.mark.parametrize("first", ["kind: A\n", "kind: A", "---\nkind: A\n", ""])
@pytest.mark.parametrize("second", ["kind: B\n", "---\nkind: B", "# b\nkind: B\n"])
def test_files_are_joined_with_separators(first: str, second: str) -> None:
    """Documents of different files are not merged."""
    manifests = stream(first, second)
    text = manifests.as_yaml(outcome(manifests.objects))
    assert [entry["kind"] for entry in yaml.safe_load_all(text) if entry] == [
        entry["kind"] for entry in manifests.objects
    ]
    assert first in text
    assert second in text


def test_a_change_that_cannot_be_written_is_reported_with_its_line() -> None:
    """It is the line of the first anchor. The message suggests a workaround."""
    manifests = stream("kind: A\n---\nkind: B\n&x a: {b: 1}\nc: [*x]\n")
    with pytest.raises(StreamError, match=r"^0\.yaml:4: is written in a way .* or use -o json$"):
        manifests.as_yaml(outcome([manifests.objects[0], {"kind": "B", "a": {"b": 1}, "c": [2]}]))


def test_new_documents_have_the_line_breaks_of_the_others() -> None:
    """Also in literal blocks."""
    manifests = stream("kind: A\r\n")
    text = manifests.as_yaml(outcome(manifests.objects, (0, {**NEW, "data": {"a": "b\nc\n"}})))
    assert text.count("\n") == text.count("\r\n") > 5
    assert [*read("a", text)][1].value["data"] == {"a": "b\nc\n"}


def test_json_is_one_object_or_a_list() -> None:
    """As kubectl writes it."""
    manifests = stream("kind: A\n")
    assert json.loads(manifests.as_json(outcome([{"kind": "Z"}]))) == {"kind": "Z"}
    assert json.loads(manifests.as_json(outcome(manifests.objects, (0, NEW)))) == {
        "apiVersion": "v1",
        "kind": "List",
        "items": [{"kind": "A"}, NEW],
    }
    assert stream('{"kind": "A"}\n').is_json()
    assert not stream('{"kind": "A"}\n', "kind: B\n").is_json()
    assert not stream().is_json()


def test_patches_are_for_a_kustomization() -> None:
    """One for each changed object, with its kind and name."""
    things = [deployment(), service()]
    manifests = stream(written(things, "indented"))
    changed = {**things[0], "metadata": {"name": "app", "namespace": "web"}}
    assert yaml.safe_load(manifests.as_patches(outcome([changed, things[1]]))) == {
        "patches": [
            {
                "target": {"group": "apps", "version": "v1", "kind": "Deployment", "name": "app"},
                "patch": json.dumps([{"op": "add", "path": "/metadata/namespace", "value": "web"}], indent=2) + "\n",
            }
        ]
    }


def test_a_comparison_shows_what_changes() -> None:
    """As a diff of the text; a missing line break at the end is shown."""
    manifests = stream("kind: A # x")
    assert manifests.as_diff(outcome([{"kind": "A", "b": 1}])) == (
        "--- before\n+++ after\n@@ -1 +1,2 @@\n-kind: A # x\n\\ No newline at end of file\n"
        "+kind: A # x\n+b: 1\n\\ No newline at end of file\n"
    )
    assert manifests.as_diff(outcome(manifests.objects)) == ""


def test_a_function_is_configured_by_its_list() -> None:
    """The list's function configuration has the form of a ConfigMap."""
    config = {"kind": "ConfigMap", "data": {"mode": "loopback"}}
    whole = {"apiVersion": "config.kubernetes.io/v1", "kind": "ResourceList", "functionConfig": config, "items": []}
    assert stream(json.dumps(whole)).function_config() == {"mode": "loopback"}
    assert stream("kind: A\n", "").function_config() == {}
