import base64
import copy
import json
from typing import Any

import pytest

from enforcer.kubernetes.webhook.review import Review, ReviewError, allowed, denied, parse
from enforcer.yamltext.json_diff import patched

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"generateName": "app-"},
    "spec": {"containers": [{"name": "app"}]},
}
REQUEST: dict[str, Any] = {
    "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
    "resource": {"group": "", "version": "v1", "resource": "pods"},
    "operation": "CREATE",
    "namespace": "apps",
    "object": POD,
    "dryRun": False,
}


def document(**changes: Any) -> dict[str, Any]:
    """Write a review whose request has these members otherwise; None leaves one out."""
    request = {name: value for name, value in {**REQUEST, **changes}.items() if value is not None}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def test_a_review_is_of_one_pod_that_is_to_be_created() -> None:
    """Its namespace stands in the request; in the pod it may be missing."""
    assert parse(json.dumps(document()).encode()) == Review(str(REQUEST["uid"]), "apps", False, POD)


@pytest.mark.parametrize(("said", "dry"), [(True, True), (False, False), (None, False)])
def test_a_dry_run_is_one_that_says_so(said: bool | None, dry: bool) -> None:
    """The pod will not be created."""
    assert parse(json.dumps(document(dryRun=said)).encode()).dry is dry


WRONG: dict[str, tuple[Any, str]] = {
    "no JSON": ("{", "the body is not JSON"),
    "too deep": ("[" * 100_000, "the body is not JSON"),
    "no object": ([], "AdmissionReview"),
    "another version": ({**document(), "apiVersion": "admission.k8s.io/v1beta1"}, "AdmissionReview of admission"),
    "no request": ({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}, "AdmissionReview"),
    "no uid": (document(uid=None), "request.uid"),
    "a change": (document(operation="UPDATE"), "only the creation of pods"),
    "no pod": (document(resource={"group": "", "version": "v1", "resource": "services"}), "only the creation of pods"),
    "no namespace": (document(namespace=None), "request.namespace"),
    "a namespace that is a path": (document(namespace="a/../b"), "request.namespace"),
    "a namespace with a line break": (document(namespace="apps\n"), "request.namespace"),
    "no object in it": (document(object=None), "request.object"),
    "no spec": (document(object={"metadata": {}}), "request.object"),
    "no metadata": (document(object={"spec": {}}), "request.object"),
}


@pytest.mark.parametrize(("sent", "told"), WRONG.values(), ids=WRONG)
def test_anything_else_is_refused(sent: Any, told: str) -> None:
    """Anybody in the cluster can send something."""
    with pytest.raises(ReviewError, match=told):
        parse(sent.encode() if isinstance(sent, str) else json.dumps(sent).encode())


def test_a_pod_that_stays_as_it_is_has_no_patch() -> None:
    """And no patch type, which an API server would miss the patch of."""
    assert allowed(Review("1", "apps", False, POD), copy.deepcopy(POD)) == {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": "1", "allowed": True},
    }


def test_the_patch_makes_the_pod_that_is_wanted() -> None:
    """As JSON, in base64."""
    wanted = {**POD, "spec": {"containers": [{"name": "first"}, {"name": "app", "image": "é"}]}}
    response = allowed(Review("1", "apps", False, POD), wanted)["response"]
    assert response["patchType"] == "JSONPatch"
    assert patched(POD, json.loads(base64.b64decode(response["patch"]))) == wanted


def test_warnings_are_as_long_as_an_api_server_shows_them() -> None:
    """It would cut the rest, or leave them out."""
    response = allowed(Review("1", "apps", False, POD), POD, ["w" * 300, "short"])["response"]
    assert response["warnings"] == ["w" * 256, "short"]


def test_a_denial_says_why() -> None:
    """In words for who creates the pod."""
    response = denied(Review("1", "apps", False, POD), "no TCP port")["response"]
    assert response == {
        "uid": "1",
        "allowed": False,
        "status": {"code": 403, "reason": "Forbidden", "message": "no TCP port"},
    }
