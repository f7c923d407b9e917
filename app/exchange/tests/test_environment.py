from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exchange.environment import Environment, EnvironmentErrors
from testing.processes import SECRET_KEY, manage

Read = Callable[[Environment], Any]

GOOD: list[tuple[str, dict[str, str], Read, Any]] = [
    ("text", {"A": "x y"}, lambda env: env.text("A"), "x y"),
    ("default", {}, lambda env: env.text("A", "d"), "d"),
    ("empty counts as unset", {"A": ""}, lambda env: env.text("A", "d"), "d"),
    ("integer", {"A": "8000"}, lambda env: env.integer("A", minimum=1, maximum=65535), 8000),
    ("integer at the edge", {"A": "1"}, lambda env: env.integer("A", minimum=1, maximum=2), 1),
    ("yes", {"A": "Yes"}, lambda env: env.boolean("A"), True),
    ("off", {"A": "off"}, lambda env: env.boolean("A", default=True), False),
    ("choice in another case", {"A": "info"}, lambda env: env.choice("A", ["DEBUG", "INFO"]), "INFO"),
    ("words", {"A": "a, b,"}, lambda env: env.words("A", allowed="words"), ["a", "b"]),
    ("no words", {}, lambda env: env.words("A", [], allowed="words"), []),
]

BAD: list[tuple[str, dict[str, str], Read, str]] = [
    ("missing", {}, lambda env: env.text("A"), "A is not set; expected some text"),
    ("word for number", {"A": "x"}, lambda env: env.integer("A", minimum=1, maximum=9), "A is 'x'; expected a whole number from 1 to 9"),
    ("too big", {"A": "10"}, lambda env: env.integer("A", minimum=1, maximum=9), "A is '10'; expected a whole number from 1 to 9"),
    ("fraction", {"A": "1.5"}, lambda env: env.integer("A", minimum=1, maximum=9), "A is '1.5'"),
    ("huge", {"A": "9" * 10_000}, lambda env: env.integer("A", minimum=1, maximum=9), "expected a whole number"),
    ("maybe", {"A": "maybe"}, lambda env: env.boolean("A"), "A is 'maybe'; expected true or false"),
    ("no choice", {"A": "loud"}, lambda env: env.choice("A", ["DEBUG", "INFO"]), "A is 'loud'; expected one of DEBUG, INFO"),
    ("host with scheme", {"A": "https://x"}, lambda env: env.words("A", pattern=r"[a-z.]+", allowed="host names"), "expected host names, separated by commas"),
    ("only commas", {"A": ","}, lambda env: env.words("A", allowed="words"), "A is ','"),
    ("missing file", {"A_FILE": "/nowhere"}, lambda env: env.text("A"), "A_FILE is '/nowhere', which can't be read: No such file or directory"),
    ("both", {"A": "x", "A_FILE": "/nowhere"}, lambda env: env.text("A"), "A and A_FILE are both set"),
]  # fmt: skip


@pytest.mark.parametrize(("variables", "read", "expected"), [row[1:] for row in GOOD], ids=[row[0] for row in GOOD])
def test_good_values(variables: dict[str, str], read: Read, expected: Any) -> None:
    env = Environment(variables)
    assert read(env) == expected
    env.check()


@pytest.mark.parametrize(("variables", "read", "message"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_values(variables: dict[str, str], read: Read, message: str) -> None:
    env = Environment(variables)
    read(env)
    with pytest.raises(EnvironmentErrors) as caught:
        env.check()
    assert len(caught.value.problems) == 1
    assert message in str(caught.value)


def test_value_from_file_loses_one_newline(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("p w\n\n")
    env = Environment({"A_FILE": str(tmp_path / "password")})
    assert env.text("A", secret=True) == "p w\n"
    env.check()


def test_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "password").write_bytes(b"\xff\xfe")
    env = Environment({"A_FILE": str(tmp_path / "password")})
    env.text("A", secret=True)
    with pytest.raises(EnvironmentErrors, match="it is not UTF-8 text"):
        env.check()


def test_secret_is_never_shown() -> None:
    env = Environment({"A": "hunter2"})
    env.text("A", pattern=".{50,}", allowed="at least 50 characters", secret=True)
    with pytest.raises(EnvironmentErrors) as caught:
        env.check()
    assert "at least 50 characters" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_manage_names_every_problem_at_once_without_traceback() -> None:
    done = manage(
        {"SECRET_KEY": "short", "DATABASE_HOST": "db", "DATABASE_PORT": "http", "DATABASE_NAME": "x", "DEBUG": "ja"},
        "check",
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for name in (
        "SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_PORT", "DATABASE_USER", "DATABASE_PASSWORD", "DATABASE_SSLROOTCERT", "DEBUG",
    ):  # fmt: skip
        assert f"- {name} is " in done.stderr
    assert "'short'" not in done.stderr


def test_deployment_check_is_clean() -> None:
    variables = {
        "SECRET_KEY": SECRET_KEY + "ABCDEFGHIJ",
        "ALLOWED_HOSTS": "exchange.example.com",
        "CSRF_TRUSTED_ORIGINS": "https://exchange.example.com",
        "DATABASE_HOST": "db",
        "DATABASE_NAME": "x",
        "DATABASE_USER": "x",
        "DATABASE_PASSWORD": "x",
        "DATABASE_SSLROOTCERT": "/etc/database/ca.crt",
    }
    done = manage(variables, "check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode == 0, done.stderr
