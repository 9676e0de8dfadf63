"""The SQLite store of tokens and the signing key."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from authserver.store import TokenStore, open_store
from authserver.tokens import Token, digest

TOKEN = Token(jti="7d2f", iss="https://as.example", client_id="app", aud=("a", "Å"), scope="read", iat=100, exp=200)


def test_an_added_token_is_found(store: TokenStore) -> None:
    """Only under its own digest."""
    store.add(digest("one"), TOKEN, now=100)
    assert store.find(digest("one")) == TOKEN
    assert store.find(digest("two")) is None


def test_a_removed_token_is_gone(store: TokenStore) -> None:
    """Removing a token that does not exist has no effect."""
    store.add(digest("one"), TOKEN, now=100)
    store.remove(digest("two"))
    store.remove(digest("one"))
    assert store.find(digest("one")) is None


def test_adding_a_token_deletes_expired_ones(store: TokenStore) -> None:
    """So the store contains at most the tokens of one lifetime."""
    store.add(digest("old"), TOKEN, now=100)
    store.add(digest("young"), replace(TOKEN, exp=201), now=100)
    store.add(digest("new"), replace(TOKEN, iat=200, exp=300), now=200)
    assert store.find(digest("old")) is None
    assert store.find(digest("young")) is not None


def test_another_thread_may_use_the_store(store: TokenStore) -> None:
    """For example, the thread of the event loop."""
    with ThreadPoolExecutor(1) as other:
        other.submit(store.add, digest("one"), TOKEN, now=100).result()
    assert store.find(digest("one")) == TOKEN


def test_a_file_keeps_tokens_and_the_first_key(tmp_path: Path) -> None:
    """Even if two stores have it open at the same time."""
    path = tmp_path / "tokens.sqlite3"
    with open_store(path) as first, open_store(path) as second:
        first.add(digest("one"), TOKEN, now=100)
        assert first.signing_key(lambda: "key 1") == "key 1"
        assert second.signing_key(lambda: "key 2") == "key 1"
        assert second.find(digest("one")) == TOKEN
    with open_store(path) as again:
        assert again.signing_key(lambda: "key 3") == "key 1"
        assert again.find(digest("one")) == TOKEN


def test_only_the_owner_can_read_the_file_and_it_contains_no_token(tmp_path: Path) -> None:
    """It contains the private key, and digests of tokens."""
    path = tmp_path / "tokens.sqlite3"
    with open_store(path) as store:
        store.add(digest("the-access-token"), TOKEN, now=100)
        assert {0o600} == {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert b"7d2f" in path.read_bytes()
    assert b"the-access-token" not in path.read_bytes()


def test_a_file_that_is_not_a_database_stays_unchanged(tmp_path: Path) -> None:
    """The error is raised before anything is written."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but twenty lines of notes\n" * 20)
    before = path.read_bytes()
    with pytest.raises(sqlite3.DatabaseError), open_store(path):
        pass
    assert before == path.read_bytes()
