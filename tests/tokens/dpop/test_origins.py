"""The origins that a proof may be for, and the comparison of URLs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.tokens.dpop.origins import Origin, Origins, parse_url

API = Origin(b"https", b"api.example.org", 443)
SHOP = Origin(b"https", b"shop.example.org", 8443)
BOTH = Origins(["https://API.example.org", "https://shop.example.org:8443"])


@pytest.mark.parametrize(
    ("hosts", "origins"),
    [
        pytest.param([b"api.example.org"], {API}, id="the host of one"),
        pytest.param([b"shop.example.org:8443"], {SHOP}, id="of the other, with its port"),
        pytest.param([b"Shop.Example.org."], {SHOP}, id="in another spelling"),
        pytest.param([b"api.example.org:1"], {API}, id="with another port, which rules ignore too"),
        pytest.param([b"evil.example.org"], {API, SHOP}, id="a host that is not the enforcer's"),
        pytest.param([b"app.internal", b"api.example.org"], {API}, id="behind a proxy that changes Host"),
        pytest.param([b"api.example.org", b"shop.example.org"], set(), id="two that contradict each other"),
        pytest.param([b""], {API, SHOP}, id="no Host"),
    ],
)
@pytest.mark.parametrize("scheme", [b"http", b"https", b"x"])
def test_only_configured_origins_count_whatever_the_sender_says(
    scheme: bytes, hosts: list[bytes], origins: set[Origin]
) -> None:
    """RFC 9449 §4.3, §11.1: a server that got a proof cannot use it here by sending its own name as Host."""
    assert set(BOTH.candidates(scheme, hosts)) == origins


@pytest.mark.parametrize(
    ("hosts", "origins"),
    [
        ([b"localhost:8091"], (Origin(b"http", b"localhost", 8091),)),
        ([b"LOCALHOST"], (Origin(b"http", b"localhost", 80),)),
        ([b"127.0.0.1:8091"], (Origin(b"http", b"127.0.0.1", 8091),)),
        ([b"127.8.9.10"], (Origin(b"http", b"127.8.9.10", 80),)),
        ([b"[::1]:8091"], (Origin(b"http", b"[::1]", 8091),)),
        ([b"app", b"localhost"], (Origin(b"http", b"localhost", 80),)),
        *[
            ([host], ())
            for host in (b"api.example.org", b"localhost.example.org", b"127.0.0.1.example.org", b"10.0.0.1")
        ],
        *[
            ([host], ())
            for host in (b"", b"localhost.", b"[::2]", b"localhost@evil.example", b"evil.example/localhost")
        ],
    ],
)
def test_without_configured_origins_only_this_machine_counts(hosts: list[bytes], origins: tuple[Origin, ...]) -> None:
    """A proof for localhost was made for this machine; for any other name the enforcer cannot know it."""
    assert Origins(()).candidates(b"http", hosts) == origins


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (b"http://A.example", (Origin(b"http", b"a.example", 80), b"/")),
        (b"http://a.example:0080/%7Eb%2f%c3%a9", (Origin(b"http", b"a.example", 80), b"/%7Eb%2f%c3%a9")),
        (b"https://[::1]:8443/x//y?z", (Origin(b"https", b"[::1]", 8443), b"/x//y")),
        (b"https://a.example/%2e%2E/%", (Origin(b"https", b"a.example", 443), b"/%2e%2E/%")),
        (b"https://a.example/%zz%4", (Origin(b"https", b"a.example", 443), b"/%zz%4")),
        *[(url, None) for url in (b"", b"/a", b"ftp://a", b"https://", b"https://a:b/", b"https://u@a/")],
    ],
)
def test_a_url_has_a_normal_origin_and_its_path(url: bytes, expected: tuple[Origin, bytes] | None) -> None:
    """RFC 3986 §6.2.2.1, §6.2.3; the path is read by the parser of request targets."""
    assert parse_url(url) == expected


@given(st.binary(), st.lists(st.binary() | st.just(b"api.example.org"), min_size=1, max_size=2))
def test_any_bytes_are_a_url_or_none(data: bytes, hosts: list[bytes]) -> None:
    """No scheme, host or URL leads to an exception, nor to another origin than a configured one."""
    assert parse_url(data) is None or data[:4].lower() == b"http"
    assert set(BOTH.candidates(data, hosts)) <= {API, SHOP}
    Origins(()).candidates(data, hosts)
