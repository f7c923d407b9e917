"""What Secrets hold: generated once and kept from then on, and any text comes through as it is."""

from __future__ import annotations

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.objects import decoded
from unit.templates.render import render, sets


def secret(role: str, chosen: str, name: str) -> dict[str, str]:
    [found] = [
        item for item in render(role, chosen).objects if item["kind"] == "Secret" and item["metadata"]["name"] == name
    ]
    return decoded(found)


def test_the_first_run_generates_values_of_their_own() -> None:
    credentials = secret("postgres", "default", "postgres-credentials")
    passwords = [credentials[f"{name}-password"] for name in ("replication", "rewind", "restapi")]
    passwords.append(secret("postgres", "default", "postgres-app")["password"])
    passwords += [secret("exchange_app", "default", "exchange-secrets")[key] for key in ("SECRET_KEY", "checksum-key")]
    assert len(set(passwords)) == len(passwords)
    assert all(len(password) >= 32 and password.isalnum() for password in passwords)
    assert all(password in credentials["credentials.yml"] for password in passwords[:3])


def test_a_later_run_keeps_them() -> None:
    known = sets("postgres")["maximal"]["platform_secrets"]["second-database/postgres-app"]
    app = secret("postgres", "maximal", "postgres-app")
    assert (app["username"], app["password"]) == (known["username"], known["password"])
    kept = sets("exchange_app")["maximal"]["platform_secrets"]
    generated = secret("exchange_app", "maximal", "exchange-secrets")
    assert generated["DJANGO_KEY"] == kept["second/exchange-secrets"]["DJANGO_KEY"]
    assert secret("exchange_app", "maximal", "exchange-admin")["password"] == kept["second/exchange-admin"]["password"]


def test_a_new_name_among_kept_values_is_generated() -> None:
    generated = secret("exchange_app", "maximal", "exchange-secrets")
    assert len(generated["SALT"]) == len(generated["ANOTHER_KEY"]) == 64
    assert generated["SALT"] != generated["ANOTHER_KEY"]


def test_a_password_of_any_characters_comes_through() -> None:
    written = 'pass: "word" #%/@ {{'
    assert secret("exchange_app", "maximal", "exchange-database")["password"] == written
