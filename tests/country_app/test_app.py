import httpx
import pytest

from country_app.app import MAX_BODY

pytestmark = pytest.mark.anyio

COUNTRY = "/ms-system/country"
ATLANTIS = {"code": "XAT", "name": "ATLANTIS"}


def is_json(answer: httpx.Response) -> bool:
    return answer.headers["content-type"] == "application/json"


async def test_a_country_is_shown_by_its_code(http: httpx.AsyncClient) -> None:
    """Step 3 of the walk: these members and values, and no others."""
    answer = await http.get(f"{COUNTRY}/code/AUS")
    assert answer.status_code == 200
    assert is_json(answer)
    assert answer.json() == {"code": "AUS", "name": "AUSTRALIA"}


async def test_all_countries_are_listed_by_code(http: httpx.AsyncClient) -> None:
    """As a JSON array."""
    answer = await http.get(COUNTRY)
    assert answer.status_code == 200
    assert is_json(answer)
    codes = [country["code"] for country in answer.json()]
    assert codes == sorted(set(codes))
    assert {"code": "CIV", "name": "CÔTE D'IVOIRE"} in answer.json()


async def test_head_is_answered_as_get_without_a_body(http: httpx.AsyncClient) -> None:
    """For the list and for one country."""
    for path in (COUNTRY, f"{COUNTRY}/code/AUS"):
        assert (await http.head(path)).headers == (await http.get(path)).headers


async def test_a_country_is_created_replaced_and_deleted(http: httpx.AsyncClient) -> None:
    """The life of one, by the URL that creating it gave."""
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


async def test_a_code_that_is_there_is_not_created_again(http: httpx.AsyncClient) -> None:
    """409, and the country stays what it was."""
    answer = await http.post(COUNTRY, json={"code": "AUS", "name": "Oz"})
    assert answer.status_code == 409
    assert "AUS" in answer.json()["detail"]
    assert (await http.get(f"{COUNTRY}/code/AUS")).json()["name"] == "AUSTRALIA"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_an_unknown_code_is_404(http: httpx.AsyncClient, method: str) -> None:
    """To replace does not create."""
    content = b'{"code": "XAT", "name": "ATLANTIS"}' if method == "PUT" else None
    answer = await http.request(method, f"{COUNTRY}/code/XAT", content=content)
    assert answer.status_code == 404
    assert is_json(answer)
    assert "XAT" in answer.json()["detail"]


@pytest.mark.parametrize("code", ["aus", "Aus", "AUS%0A", "AUS%20", "%41US/", "AU%00"])
async def test_a_country_has_one_spelling_of_its_url(http: httpx.AsyncClient, code: str) -> None:
    """Another case or a character more names no country."""
    answer = await http.get(f"{COUNTRY}/code/{code}")
    assert answer.status_code == 404
    assert is_json(answer)


@pytest.mark.parametrize(
    "path", ["/", "/ms-system", f"{COUNTRY}/", f"{COUNTRY}%0A", f"{COUNTRY}/code", f"{COUNTRY}/code/"]
)
async def test_a_path_that_is_not_ours_is_404(http: httpx.AsyncClient, path: str) -> None:
    """Without a redirect to one that is."""
    answer = await http.get(path)
    assert answer.status_code == 404
    assert is_json(answer)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", COUNTRY, {"GET", "HEAD", "POST"}),
        ("PATCH", f"{COUNTRY}/code/AUS", {"GET", "HEAD", "PUT", "DELETE"}),
    ],
)
async def test_another_method_is_405_and_the_answer_names_those_that_are_known(
    http: httpx.AsyncClient, method: str, path: str, allowed: set[str]
) -> None:
    """RFC 9110 §15.5.6."""
    answer = await http.request(method, path)
    assert answer.status_code == 405
    assert is_json(answer)
    assert set(answer.headers["allow"].split(", ")) == allowed


async def test_a_bad_country_is_422_with_every_problem(http: httpx.AsyncClient) -> None:
    """When it is created and when it is replaced."""
    created = await http.post(COUNTRY, json={"code": "aus", "colour": 3})
    replaced = await http.put(f"{COUNTRY}/code/AUS", json={"code": "AUT", "name": ""})
    assert [created.status_code, replaced.status_code] == [422, 422]
    assert [problem.partition(":")[0] for problem in created.json()["problems"]] == ["code", "name", "colour"]
    assert [problem.partition(":")[0] for problem in replaced.json()["problems"]] == ["code", "name"]


async def test_a_body_that_is_no_json_is_422(http: httpx.AsyncClient) -> None:
    """As JSON."""
    answer = await http.post(COUNTRY, content=b"{")
    assert answer.status_code == 422
    assert is_json(answer)
    assert len(answer.json()["problems"]) == 1


async def test_a_body_has_a_limit(http: httpx.AsyncClient) -> None:
    """64 KiB are read, one byte more is refused."""
    country = b'{"code": "XAT", "name": "ATLANTIS"}'
    more = await http.post(COUNTRY, content=country.ljust(MAX_BODY + 1))
    most = await http.post(COUNTRY, content=country.ljust(MAX_BODY))
    assert [more.status_code, most.status_code] == [413, 201]
    assert is_json(more)
