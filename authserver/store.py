"""Stores tokens and the signing key in SQLite."""

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


class TokenStore:
    """The tokens and the signing key. Every call is one short transaction."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def add(self, digest: bytes, token: Token, now: int) -> None:
        """Store a token under its digest, and delete expired tokens."""
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
        """Return the token with a digest, which may have expired, or None."""
        row = self._database.execute(
            "SELECT jti, iss, client_id, aud, scope, iat, exp, cnf FROM token WHERE digest = ?", (digest,)
        ).fetchone()
        if row is None:
            return None
        jti, iss, client_id, aud, scope, iat, exp, cnf = row
        return Token(jti, iss, client_id, tuple(json.loads(aud)), scope, iat, exp, cnf and json.loads(cnf))

    def remove(self, digest: bytes) -> None:
        """Delete a token, which makes a revoked token an unknown one."""
        self._database.execute("DELETE FROM token WHERE digest = ?", (digest,))

    def signing_key(self, generate: Callable[[], str]) -> str:
        """Return the stored key; the first call stores the result of `generate`."""
        read = "SELECT jwk FROM signing_key"
        row = self._database.execute(read).fetchone()
        if row is None:
            # If two servers start with the same new file, both must use the key of the first.
            self._database.execute("INSERT OR IGNORE INTO signing_key (id, jwk) VALUES (1, ?)", (generate(),))
            row = self._database.execute(read).fetchone()
        return str(row[0])


@contextmanager
def open_store(path: Path | None) -> Iterator[TokenStore]:
    """Open the store in a file, created if it is missing, or in memory (None); it is closed at the end of the block.

    Raises `OSError` or `sqlite3.Error` if the file cannot be opened or is not a database.
    """
    if path is not None:
        # The file contains a private key, so only its owner may read it.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    # The endpoints call the store on the event loop, because a look-up takes microseconds, less than a switch to a
    # worker thread. The calls never overlap, so check_same_thread is off: another thread may run the loop.
    connection = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
    with closing(connection):
        # With these two, a commit survives a crash of the process, and does not wait for the disk.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(SCHEMA)
        if not any(name == "cnf" for _, name, *_ in connection.execute("PRAGMA table_info(token)")):
            connection.execute("ALTER TABLE token ADD COLUMN cnf TEXT")  # the file of a version without bound tokens
        yield TokenStore(connection)
