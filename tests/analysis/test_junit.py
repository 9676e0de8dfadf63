"""JUnit XML of the outcomes of policy tests."""

from xml.etree import ElementTree

from harness.policies import NOW, REFUSALS, policy
from pydantic import TypeAdapter

from enforcer.analysis.junit import Suite, write
from enforcer.analysis.policy_tests import PolicyTests, run

CASES = TypeAdapter(PolicyTests).validate_python(
    {
        "tests": [
            {"name": "open", "request": "GET /a", "expect": "allow"},
            {"name": 'closed & "shut"', "request": "GET /b", "expect": "allow", "reason": "ok"},
        ]
    }
)


def test_results_are_written_for_ci_systems() -> None:
    """The whole document, with the explanation of a failure."""
    outcomes = run(CASES, policy({"path": "/a", "public": True}), NOW, REFUSALS)
    text = write([Suite("tests.yaml", outcomes, [3, 7])])
    assert (
        text
        == """\
<?xml version="1.0" encoding="utf-8"?>
<testsuites>
  <testsuite name="tests.yaml" tests="2" failures="1" errors="0">
    <testcase name="open" classname="tests.yaml" file="tests.yaml" line="3" />
    <testcase name="closed &amp; &quot;shut&quot;" classname="tests.yaml" file="tests.yaml" line="7">
      <failure message="decision: expected allow, got deny; reason: expected ok, got no_rule">\
decision: expected allow, got deny
reason: expected ok, got no_rule

GET /b
path: /b

no rule matches this path

decision: deny, no_rule
answer: 403, no rule allows this request
</failure>
    </testcase>
  </testsuite>
</testsuites>
"""
    )
    assert ElementTree.fromstring(text.partition("\n")[2]).find("testsuite/testcase[2]/failure") is not None


def test_characters_that_xml_cannot_have_are_escaped() -> None:
    """Otherwise no CI system could read the document."""
    case = {"name": "bell \x07 \ufffe", "request": "GET /b", "expect": "allow", "reason": "ok"}
    outcomes = run(TypeAdapter(PolicyTests).validate_python({"tests": [case]}), policy(), NOW, REFUSALS)
    (testcase,) = ElementTree.fromstring(write([Suite("a\x01.yaml", outcomes, [1])])).iter("testcase")
    assert (testcase.get("name"), testcase.get("file")) == ("bell \\x07 \\ufffe", "a\\x01.yaml")
