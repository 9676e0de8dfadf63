"""Stores countries in SQLite."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pycountry

from country_app.countries import Country

SCHEMA = "CREATE TABLE IF NOT EXISTS country (code TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID"


class CountryStore:
    """The countries, by code. Every call is one short transaction."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def all(self) -> Sequence[Country]:
        """Return all countries, ordered by code."""
        rows = self._database.execute("SELECT code, name FROM country ORDER BY code")
        return [Country(code=code, name=name) for code, name in rows]

    def get(self, code: str) -> Country | None:
        """Return the country with a code, or None."""
        row = self._database.execute("SELECT code, name FROM country WHERE code = ?", (code,)).fetchone()
        return None if row is None else Country(code=row[0], name=row[1])

    def add(self, countries: Iterable[Country]) -> int:
        """Add the countries whose codes are new, and return their number."""
        rows = [(country.code, country.name) for country in countries]
        return self._database.executemany("INSERT OR IGNORE INTO country (code, name) VALUES (?, ?)", rows).rowcount

    def replace(self, country: Country) -> bool:
        """Replace the country with the same code, and return whether there was one."""
        update = "UPDATE country SET name = ? WHERE code = ?"
        return self._database.execute(update, (country.name, country.code)).rowcount == 1

    def delete(self, code: str) -> bool:
        """Delete the country with a code, and return whether there was one."""
        return self._database.execute("DELETE FROM country WHERE code = ?", (code,)).rowcount == 1


@contextmanager
def open_store(path: Path | None) -> Iterator[CountryStore]:
    """Open the store in a file, created if it is missing, or in memory (None); it is closed at the end of the block.

    An empty store gets the countries of ISO 3166-1. Raises `sqlite3.Error` if the file cannot be opened or is not a
    database.
    """
    # The app calls the store on the event loop, because with a few hundred rows a call takes less than a switch to
    # a worker thread. The calls never overlap, so check_same_thread is off: another thread may run the loop.
    connection = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
    with closing(connection):
        connection.execute(SCHEMA)
        store = CountryStore(connection)
        if not store.all():
            store.add(Country(code=country.alpha_3, name=country.name) for country in pycountry.countries)
        yield store
