"""Tokens and the signing key in SQLite."""

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from authserver.tokens import Token

SCHEMA = """
CREATE TABLE IF NOT EXISTS token (
    digest BLOB PRIMARY KEY,
    jti TEXT NOT NULL,
    iss TEXT NOT NULL,
    client_id TEXT NOT NULL,
    aud TEXT NOT NULL,
    scope TEXT NOT NULL,
    iat INTEGER NOT NULL,
    exp INTEGER NOT NULL,
    cnf TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS token_exp ON token (exp);
CREATE TABLE IF NOT EXISTS signing_key (id INTEGER PRIMARY KEY CHECK (id = 1), jwk TEXT NOT NULL);
"""


class Store:
    """Keep what must outlive a request. Every call is one short transaction."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def add(self, digest: bytes, token: Token, now: int) -> None:
        """Keep a token under its digest, and forget those that have expired."""
        self._database.execute("DELETE FROM token WHERE exp <= ?", (now,))
        self._database.execute(
            "INSERT INTO token (digest, jti, iss, client_id, aud, scope, iat, exp, cnf) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(digest, token.jti, token.iss, token.client_id, json.dumps(token.aud), token.scope),
                *(token.iat, token.exp, None if token.cnf is None else json.dumps(token.cnf)),
            ),
        )

    def find(self, digest: bytes) -> Token | None:
        """Return the token kept under a digest, which may have expired."""
        row = self._database.execute(
            "SELECT jti, iss, client_id, aud, scope, iat, exp, cnf FROM token WHERE digest = ?", (digest,)
        ).fetchone()
        if row is None:
            return None
        jti, iss, client_id, aud, scope, iat, exp, cnf = row
        return Token(jti, iss, client_id, tuple(json.loads(aud)), scope, iat, exp, cnf and json.loads(cnf))

    def remove(self, digest: bytes) -> None:
        """Forget a token: what is revoked is unknown from then on."""
        self._database.execute("DELETE FROM token WHERE digest = ?", (digest,))

    def signing_key(self, generate: Callable[[], str]) -> str:
        """Return the key that is kept, which `generate` makes the first time."""
        read = "SELECT jwk FROM signing_key"
        row = self._database.execute(read).fetchone()
        if row is None:
            # Of two servers that start on one new file, both must use the key of the first.
            self._database.execute("INSERT OR IGNORE INTO signing_key (id, jwk) VALUES (1, ?)", (generate(),))
            row = self._database.execute(read).fetchone()
        return str(row[0])


@contextmanager
def open_store(path: Path | None) -> Iterator[Store]:
    """Open the store in a file, made when it is missing, or in memory; it is closed at the end of the block.

    Raises `OSError` or `sqlite3.Error` when the file cannot be used.
    """
    if path is not None:
        # The file holds a private key: nobody else may read it.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    # The endpoints call the store on the event loop itself, one at a time: a look-up takes microseconds, less than
    # handing it to a thread. The thread that runs the loop need not be the one that opened the store.
    connection = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
    with closing(connection):
        # A commit then survives a crash of the process without waiting for the disk.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(SCHEMA)
        if not any(name == "cnf" for _, name, *_ in connection.execute("PRAGMA table_info(token)")):
            connection.execute("ALTER TABLE token ADD COLUMN cnf TEXT")  # a file from before tokens could be bound
        yield Store(connection)
