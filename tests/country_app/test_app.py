"""The country app over HTTP, in process."""

import httpx
import pytest

from country_app.app import MAX_BODY

pytestmark = pytest.mark.anyio

COUNTRY = "/ms-system/country"
ATLANTIS = {"code": "XAT", "name": "ATLANTIS"}


def is_json(response: httpx.Response) -> bool:
    return response.headers["content-type"] == "application/json"


async def test_a_country_is_shown_by_its_code(http: httpx.AsyncClient) -> None:
    """Step 3 of the walk: exactly these members and values."""
    response = await http.get(f"{COUNTRY}/code/AUS")
    assert response.status_code == 200
    assert is_json(response)
    assert response.json() == {"code": "AUS", "name": "AUSTRALIA"}


async def test_all_countries_are_listed_by_code(http: httpx.AsyncClient) -> None:
    """As a JSON array."""
    response = await http.get(COUNTRY)
    assert response.status_code == 200
    assert is_json(response)
    codes = [country["code"] for country in response.json()]
    assert codes == sorted(set(codes))
    assert {"code": "CIV", "name": "CÔTE D'IVOIRE"} in response.json()


async def test_head_has_the_header_fields_of_get(http: httpx.AsyncClient) -> None:
    """For the list and for one country."""
    for path in (COUNTRY, f"{COUNTRY}/code/AUS"):
        assert (await http.head(path)).headers == (await http.get(path)).headers


async def test_a_country_is_created_replaced_and_deleted(http: httpx.AsyncClient) -> None:
    """At the URL in the Location field of the response that created it."""
    created = await http.post(COUNTRY, json={"code": "XAT", "name": "Atlantis"})
    assert (created.status_code, created.json()) == (201, ATLANTIS)
    url = created.headers["location"]
    assert url == f"{COUNTRY}/code/XAT"
    assert (await http.get(url)).json() == ATLANTIS

    replaced = await http.put(url, json={"code": "XAT", "name": "Old Atlantis"})
    assert (replaced.status_code, replaced.json()) == (200, {"code": "XAT", "name": "OLD ATLANTIS"})
    assert (await http.get(url)).json() == replaced.json()

    deleted = await http.delete(url)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await http.get(url)).status_code == 404


async def test_an_existing_code_is_not_created_again(http: httpx.AsyncClient) -> None:
    """The response is 409, and the country does not change."""
    response = await http.post(COUNTRY, json={"code": "AUS", "name": "Oz"})
    assert response.status_code == 409
    assert "AUS" in response.json()["detail"]
    assert (await http.get(f"{COUNTRY}/code/AUS")).json()["name"] == "AUSTRALIA"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_an_unknown_code_is_404(http: httpx.AsyncClient, method: str) -> None:
    """Replacing does not create a country."""
    content = b'{"code": "XAT", "name": "ATLANTIS"}' if method == "PUT" else None
    response = await http.request(method, f"{COUNTRY}/code/XAT", content=content)
    assert response.status_code == 404
    assert is_json(response)
    assert "XAT" in response.json()["detail"]


@pytest.mark.parametrize("code", ["aus", "Aus", "AUS%0A", "AUS%20", "%41US/", "AU%00"])
async def test_a_country_has_only_one_url(http: httpx.AsyncClient, code: str) -> None:
    """Another case or an additional character gets 404."""
    response = await http.get(f"{COUNTRY}/code/{code}")
    assert response.status_code == 404
    assert is_json(response)


@pytest.mark.parametrize(
    "path", ["/", "/ms-system", f"{COUNTRY}/", f"{COUNTRY}%0A", f"{COUNTRY}/code", f"{COUNTRY}/code/"]
)
async def test_an_unknown_path_is_404(http: httpx.AsyncClient, path: str) -> None:
    """Without a redirect to a known path."""
    response = await http.get(path)
    assert response.status_code == 404
    assert is_json(response)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("DELETE", COUNTRY, {"GET", "HEAD", "POST"}), ("PATCH", f"{COUNTRY}/code/AUS", {"GET", "HEAD", "PUT", "DELETE"})],
)
async def test_an_unknown_method_is_405_with_the_allowed_methods(
    http: httpx.AsyncClient, method: str, path: str, allowed: set[str]
) -> None:
    """RFC 9110 §15.5.6."""
    response = await http.request(method, path)
    assert response.status_code == 405
    assert is_json(response)
    assert set(response.headers["allow"].split(", ")) == allowed


async def test_an_invalid_country_is_422_with_all_errors(http: httpx.AsyncClient) -> None:
    """When creating and when replacing."""
    created = await http.post(COUNTRY, json={"code": "aus", "colour": 3})
    replaced = await http.put(f"{COUNTRY}/code/AUS", json={"code": "AUT", "name": ""})
    assert [created.status_code, replaced.status_code] == [422, 422]
    assert [problem.partition(":")[0] for problem in created.json()["problems"]] == ["code", "name", "colour"]
    assert [problem.partition(":")[0] for problem in replaced.json()["problems"]] == ["code", "name"]


async def test_a_body_that_is_not_json_is_422(http: httpx.AsyncClient) -> None:
    """The response is JSON."""
    response = await http.post(COUNTRY, content=b"{")
    assert response.status_code == 422
    assert is_json(response)
    assert len(response.json()["problems"]) == 1


async def test_the_size_of_a_body_is_limited(http: httpx.AsyncClient) -> None:
    """A body of 64 KiB is accepted, one more byte gets 413."""
    country = b'{"code": "XAT", "name": "ATLANTIS"}'
    larger = await http.post(COUNTRY, content=country.ljust(MAX_BODY + 1))
    largest = await http.post(COUNTRY, content=country.ljust(MAX_BODY))
    assert [larger.status_code, largest.status_code] == [413, 201]
    assert is_json(larger)
