"""The SQLite store of countries."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pycountry
import pytest

from country_app.countries import Country
from country_app.store import CountryStore, open_store

AUSTRALIA = Country(code="AUS", name="AUSTRALIA")
ATLANTIS = Country(code="XAT", name="ATLANTIS")


def test_an_empty_store_gets_the_countries_of_iso_3166_1(store: CountryStore) -> None:
    """All countries, ordered by code, with names in upper case."""
    countries = store.all()
    assert [country.code for country in countries] == sorted(country.alpha_3 for country in pycountry.countries)
    assert AUSTRALIA in countries
    assert all(country.name == country.name.upper() for country in countries)


def test_a_country_is_added_replaced_and_deleted(store: CountryStore) -> None:
    """Each method returns whether it changed anything."""
    assert store.get("XAT") is None
    assert not store.replace(ATLANTIS)
    assert not store.delete("XAT")
    assert store.add([ATLANTIS]) == 1
    assert store.add([ATLANTIS, AUSTRALIA]) == 0
    assert store.get("XAT") == ATLANTIS
    renamed = Country(code="XAT", name="OLD ATLANTIS")
    assert store.replace(renamed)
    assert store.get("XAT") == renamed
    assert store.delete("XAT")
    assert store.get("XAT") is None
    assert store.get("AUS") == AUSTRALIA


def test_another_thread_may_use_the_store(store: CountryStore) -> None:
    """For example, the thread of the event loop."""
    with ThreadPoolExecutor(1) as other:
        assert other.submit(store.get, "AUS").result() == AUSTRALIA


def test_a_file_keeps_changes(tmp_path: Path) -> None:
    """It is filled only once, so a deleted country stays deleted."""
    path = tmp_path / "countries.sqlite3"
    with open_store(path) as store:
        store.delete("AUS")
        store.add([ATLANTIS])
        before = store.all()
    with open_store(path) as store:
        assert store.all() == before
        assert store.get("AUS") is None


def test_a_file_that_is_not_a_database_stays_unchanged(tmp_path: Path) -> None:
    """The error is raised before anything is written."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but twenty lines of notes\n" * 20)
    before = path.read_bytes()
    with pytest.raises(sqlite3.DatabaseError), open_store(path):
        pass
    assert path.read_bytes() == before
