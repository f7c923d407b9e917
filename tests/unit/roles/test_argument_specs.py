"""A role's defaults/main.yml and meta/argument_specs.yml name the same variables with the same defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[3] / "roles"
NAMES = sorted(path.parent.parent.name for path in ROLES.glob("*/meta/argument_specs.yml"))
# Required options that have a default nevertheless, and why.
REQUIRED_WITH_DEFAULT = {
    "platform_domain": "the empty default lets preflight say what is allowed instead of an undefined variable",
}
# Options without a default, and why.
WITHOUT_DEFAULT: dict[str, str] = {}

# Options that sound like secrets and aren't, and why.
NO_SECRETS = {
    "exchange_app_database_env.password": "the name of an environment variable, not its value",
}


@cache
def load(path: Path) -> dict[str, Any]:
    return (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}


def defaults(role: str) -> dict[str, Any]:
    return load(ROLES / role / "defaults" / "main.yml")


def options(role: str) -> dict[str, Any]:
    entry_points = load(ROLES / role / "meta" / "argument_specs.yml")["argument_specs"]
    return {name: option for entry in entry_points.values() for name, option in entry.get("options", {}).items()}


def suboptions(options: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, option in options.items():
        yield f"{path}{name}", option
        yield from suboptions(option.get("options") or {}, f"{path}{name}.")


def test_every_role_with_defaults_has_a_spec() -> None:
    assert sorted(path.parent.parent.name for path in ROLES.glob("*/defaults/main.yml")) == NAMES


@pytest.mark.parametrize("role", NAMES)
def test_every_default_has_an_option(role: str) -> None:
    assert set(defaults(role)) - set(options(role)) == set()


@pytest.mark.parametrize("role", NAMES)
def test_every_option_that_is_not_required_has_a_default(role: str) -> None:
    optional = {name for name, option in options(role).items() if not option.get("required")}
    assert optional - set(defaults(role)) - set(WITHOUT_DEFAULT) == set()


@pytest.mark.parametrize("role", NAMES)
def test_required_options_have_no_default(role: str) -> None:
    required = {name for name, option in options(role).items() if option.get("required")}
    assert required & set(defaults(role)) - set(REQUIRED_WITH_DEFAULT) == set()


@pytest.mark.parametrize("role", NAMES)
def test_literal_defaults_are_the_same_in_both(role: str) -> None:
    documented = {name: option["default"] for name, option in options(role).items() if "default" in option}
    assert documented == {name: defaults(role).get(name, "(none)") for name in documented}


@pytest.mark.parametrize("role", NAMES)
def test_simple_defaults_are_documented(role: str) -> None:
    """A default that is neither computed nor a structure stands in the spec, where ansible-doc shows it."""
    simple = {
        name: value
        for name, value in defaults(role).items()
        if not isinstance(value, dict | list) and "{{" not in str(value) and not options(role)[name].get("required")
    }
    assert {name for name in simple if "default" not in options(role)[name]} == set()


@pytest.mark.parametrize("role", NAMES)
def test_options_are_described_and_carry_the_role_s_prefix(role: str) -> None:
    assert [name for name, option in suboptions(options(role)) if not option.get("description")] == []
    assert [name for name in options(role) if not name.startswith(f"{role}_")] == []


@pytest.mark.parametrize("role", NAMES)
def test_secrets_are_hidden(role: str) -> None:
    """Only what says itself that it is no secret, such as the name of a variable, is not."""
    words = ("password", "token", "private_key", "secret_key")
    open_ones = [
        name
        for name, option in suboptions(options(role))
        if name not in NO_SECRETS
        and name.endswith(words)
        and option.get("type", "str") == "str"
        and not option.get("no_log")
    ]
    assert open_ones == []


@pytest.mark.parametrize("role", NAMES)
def test_choices_contain_the_default(role: str) -> None:
    wrong = [
        name
        for name, option in options(role).items()
        if option.get("choices") and name in defaults(role) and not isinstance(defaults(role)[name], list)
        if defaults(role)[name] not in option["choices"] and "{{" not in str(defaults(role)[name])
    ]
    assert wrong == []


def test_the_exceptions_are_still_needed() -> None:
    known = {name: option for role in NAMES for name, option in options(role).items()}
    everything = {name for role in NAMES for name in defaults(role)}
    assert set(REQUIRED_WITH_DEFAULT) <= {name for name, o in known.items() if o.get("required")} & everything
    assert set(NO_SECRETS) <= {name for role in NAMES for name, _ in suboptions(options(role))}
    assert set(WITHOUT_DEFAULT) <= set(known) - everything
