from typing import Any

import pytest

from enforcer.tokens.dpop.possession import PossessionFault, Proven, with_certificate, with_key
from enforcer.tokens.introspection.response import from_claims

CERTIFICATE = {"x5t#S256": "mine"}
KEY = {"jkt": "mine"}
ODD: list[Any] = [{}, {**CERTIFICATE, **KEY}, {"x5t#S256": ""}, {"jkt": ""}, {"kid": "mine"}, "mine", True]


@pytest.mark.parametrize(
    ("confirmation", "thumbprint", "fault"),
    [
        (CERTIFICATE, "mine", None),
        (CERTIFICATE, "another", PossessionFault.CERTIFICATE),
        (CERTIFICATE, "", PossessionFault.CERTIFICATE),
        (KEY, "mine", PossessionFault.SCHEME),
        (KEY, "", PossessionFault.SCHEME),
        *((odd, shown, PossessionFault.UNKNOWN) for odd in ODD for shown in ("", "mine")),
    ],
)
def test_a_bearer_token_is_its_senders_where_they_show_its_certificate(
    confirmation: Any, thumbprint: str, fault: PossessionFault | None
) -> None:
    """RFC 8705 §3; RFC 9449 §7.2: one that is bound to a key does not come as a bearer token."""
    answer = from_claims({"cnf": confirmation})
    proven = with_certificate(answer, thumbprint)
    assert (None if isinstance(proven, Proven) else proven) is fault
    assert isinstance(proven, PossessionFault) or proven.answer is answer


@pytest.mark.parametrize(
    ("confirmation", "thumbprint", "fault"),
    [
        (KEY, "mine", None),
        (KEY, "another", PossessionFault.KEY),
        (None, "mine", PossessionFault.UNBOUND),
        (CERTIFICATE, "mine", PossessionFault.UNBOUND),
        *((odd, shown, PossessionFault.UNKNOWN) for odd in ODD for shown in ("", "mine")),
    ],
)
def test_a_token_with_a_proof_is_its_senders_where_the_key_is_the_tokens(
    confirmation: Any, thumbprint: str, fault: PossessionFault | None
) -> None:
    """RFC 9449 §7.1: a token that is bound to no key cannot be proven to be anybody's."""
    answer = from_claims({"cnf": confirmation})
    proven = with_key(answer, thumbprint)
    assert (None if isinstance(proven, Proven) else proven) is fault
    assert isinstance(proven, PossessionFault) or proven.answer is answer
