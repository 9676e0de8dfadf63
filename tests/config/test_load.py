"""Reading a configuration whole, or telling of all its mistakes.

`mistakes/` holds a file for each mistake and, beside it, exactly what is said of it.
"""

import cProfile
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.config.load import Loaded, load, load_with_document
from enforcer.config.schema import shape
from enforcer.config.sources import Files, signature
from enforcer.errors import ConfigError, Problem

MISTAKES = Path(__file__).parent / "mistakes"
FILES = sorted(path.name for path in MISTAKES.glob("*.yaml"))
ENVIRONMENT = {"SECRET": "hunter2", "EMPTY": ""}
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("file", FILES)
def test_a_mistake_is_told_at_its_place_and_no_secret_with_it(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole text, all problems of the file, by line."""
    monkeypatch.chdir(MISTAKES)
    with pytest.raises(ConfigError) as refused:
        load(Path(file), ENVIRONMENT)
    assert f"{refused.value}\n" == Path(file).with_suffix(".txt").read_text(encoding="utf-8")
    assert "hunter2" not in str(refused.value)


def test_there_are_mistakes_and_each_has_its_text() -> None:
    """An empty folder would pass every test above."""
    assert len(FILES) > 50
    assert {Path(file).stem for file in FILES} == {path.stem for path in MISTAKES.glob("*.txt")}


def test_unknown_key_missing_secret_wrong_type_and_duplicate_key_are_told_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One look at the file mends all of them."""
    monkeypatch.chdir(MISTAKES)
    with pytest.raises(ConfigError) as refused:
        load(Path("four-at-once.yaml"), {})
    assert [(problem.line, problem.column, problem.path, problem.message) for problem in refused.value.problems] == [
        (6, 5, "authorization_servers[0].client_secret", 'the environment variable "NOT_SET" is not set'),
        (8, 11, "limits.fields", 'expected a whole number of at least 1, found "ten"'),
        (12, 5, "rules[0]", 'unknown key "methds"; did you mean "methods"?'),
        (18, 5, "rules[1]", 'duplicate key "scopes"; it stands first at four-at-once.yaml:17:5'),
    ]


def test_the_walks_configuration_can_be_used() -> None:
    """What comes with the product, with the one secret that it asks for."""
    loaded = load(ROOT / "config.yaml", {"ENFORCER_CLIENT_SECRET": "hunter2"})
    assert [(rule.name, rule.methods, rule.scopes) for rule in loaded.config.rules] == [
        ("read countries", ("GET",), ("country.read",)),
        ("write countries", ("POST", "PUT", "DELETE"), ("country.write",)),
    ]
    assert loaded.config.authorization_servers[0].client_secret.reveal() == "hunter2"


def test_what_was_loaded_names_its_bytes_and_its_files(loads: Callable[..., Loaded], tmp_path: Path) -> None:
    """The hash says which configuration is in effect; the files are what a change can come from."""
    (tmp_path / "secret").write_text("hunter2\n")
    loaded = loads(changed={"env: SECRET": "file: secret"})
    assert loaded.hash == sha256((tmp_path / "config.yaml").read_bytes()).hexdigest()[:16]
    assert loaded.files.keys() == {tmp_path / "config.yaml", tmp_path / "secret"}


def test_what_was_looked_at_is_known_even_where_the_configuration_is_refused(tmp_path: Path) -> None:
    """Each file as it was found, or that it was not: what is missing may come, and is worth another look then."""
    path = tmp_path / "config.yaml"
    text = (ROOT / "config.yaml").read_text("utf-8")
    path.write_text(text.replace("{env: ENFORCER_CLIENT_SECRET}", "{file: secret}"), "utf-8")
    files: Files = {}
    with pytest.raises(ConfigError):
        load_with_document(path, {}, files=files)
    assert files == {path: signature(path), tmp_path / "secret": None}
    assert files[path] is not None


def test_the_files_are_absolute_wherever_the_configuration_was_named_from(
    loads: Callable[..., Loaded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The working folder may change later."""
    loads()
    monkeypatch.chdir(tmp_path)
    assert load(Path("config.yaml"), ENVIRONMENT).files.keys() == {tmp_path / "config.yaml"}


@pytest.mark.parametrize(("name", "reason"), [("nowhere.yaml", "No such file or directory"), ("", "Is a directory")])
def test_a_configuration_that_cannot_be_read_is_one_problem(tmp_path: Path, name: str, reason: str) -> None:
    """It names the file as it was asked for."""
    with pytest.raises(ConfigError) as refused:
        load(tmp_path / name, {})
    assert str(refused.value) == f"{tmp_path / name}: cannot be read: {reason}"


def test_a_configuration_is_at_most_16_mib(tmp_path: Path) -> None:
    """The wrong file given by mistake must not fill the memory."""
    path = tmp_path / "config.yaml"
    with path.open("wb") as file:
        file.truncate(16 * 1024**2 + 1)
    with pytest.raises(ConfigError, match="is larger than 16777216 bytes"):
        load(path, {})


def test_the_work_of_a_load_grows_with_the_number_of_rules(loads: Callable[..., Loaded]) -> None:
    """A generated configuration is large: twice as many rules take about twice as many calls, and no square of them."""

    def calls(rules: int) -> int:
        text = "".join(
            f"  - name: rule {number}\n    path: /service/{{tenant}}/things{number}/**\n    methods: [GET, POST]\n"
            f'    scopes: [things.read]\n    claims: {{tenant: "{{tenant}}"}}\n    max_answer_age: 5s\n'
            for number in range(rules)
        )
        profile = cProfile.Profile()
        loaded = profile.runcall(loads, text)
        assert len(loaded.config.rules) == rules + 1
        return sum(entry.callcount for entry in profile.getstats())

    loads("")  # what is made once is made
    assert calls(2_000) < 2.2 * calls(1_000)


def loads_or_refuses(data: bytes) -> None:
    """Load bytes as a file; any exception but ConfigError is a failure."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_bytes(data)
        problems: tuple[Problem, ...] = ()
        try:
            load(path, ENVIRONMENT)
        except ConfigError as error:
            problems = error.problems
        assert all((problem.path + problem.message).isprintable() for problem in problems)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_configuration_or_a_config_error(data: bytes) -> None:
    """A file may hold anything."""
    loads_or_refuses(data)


@given(st.text(alphabet=":-?*&!<>[]{}|#%@`\"', \t\nab1.~\u0085\ufeff", max_size=60))
@settings(max_examples=300)
def test_any_text_of_yamls_own_characters_is_a_configuration_or_a_config_error(text: str) -> None:
    """Most bytes are no YAML at all; these often are."""
    loads_or_refuses(text.encode())


KEYS = st.sampled_from([*shape().keys(()), *shape().keys(("rules", 0)), *shape().keys(("authorization_servers", 0))])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["5s", "/a", "1KiB"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(), inner, max_size=4)
)
RULES = st.lists(st.dictionaries(st.sampled_from([*shape().keys(("rules", 0))]), VALUES) | VALUES, max_size=3)


@given(st.dictionaries(KEYS, VALUES), RULES)
@settings(max_examples=300)
def test_any_values_at_known_keys_are_a_configuration_or_a_config_error(
    sections: dict[str, object], rules: object
) -> None:
    """What is right as YAML may be wrong in every other way."""
    loads_or_refuses(yaml.safe_dump(sections | {"rules": rules}).encode())


def test_without_an_environment_secrets_are_left_where_they_are(tmp_path: Path) -> None:
    """To look at a policy none is needed; where one is kept must still be said right."""
    path = tmp_path / "config.yaml"
    text = (ROOT / "config.yaml").read_text("utf-8")
    path.write_text(text.replace("{env: ENFORCER_CLIENT_SECRET}", "{file: nowhere}"), "utf-8")
    loaded, document = load_with_document(path, None)
    assert loaded.config.authorization_servers[0].client_secret.reveal() == ""
    assert loaded.files.keys() == {path}
    assert text.splitlines()[document.where(("rules", 0))[1] - 1].startswith("  - name: read countries")
    path.write_text(text.replace("{env: ENFORCER_CLIENT_SECRET}", "{file: nowhere, env: NOWHERE}"), "utf-8")
    with pytest.raises(ConfigError, match="a secret is kept in one place"):
        load_with_document(path, None)
