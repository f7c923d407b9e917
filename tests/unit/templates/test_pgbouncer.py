"""PgBouncer's configuration, as PgBouncer reads it."""

from __future__ import annotations

import configparser
from typing import Any

import pytest
from unit.templates.render import render


def configuration(chosen: str) -> configparser.ConfigParser:
    """Return the rendered pgbouncer.ini."""
    [text] = [
        item["data"]["pgbouncer.ini"]
        for item in render("postgres", chosen).objects
        if item["kind"] == "ConfigMap" and item["metadata"]["name"] == "pgbouncer"
    ]
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return parser


def test_the_database_and_the_settings_of_its_sessions() -> None:
    assert configuration("policies")["databases"]["exchange"] == (
        "host=postgres-rw.exchange-database.svc port=5432 dbname=exchange connect_query='SET lock_timeout = ''5s''; "
        "SET statement_timeout = ''15s''; SET idle_in_transaction_session_timeout = ''60s''; "
        "SET LOCAL ROLE NONE; SELECT pg_terminate_backend(pg_backend_pid()) WHERE pg_is_in_recovery()'"
    )


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ("policies", {"pool_mode": "transaction", "default_pool_size": "10", "max_client_conn": "500"}),
        ("maximal", {"pool_mode": "session", "default_pool_size": "30", "max_client_conn": "1000"}),
    ],
)
def test_variables_arrive(chosen: str, expected: dict[str, Any]) -> None:
    assert expected.items() <= dict(configuration(chosen)["pgbouncer"]).items()


@pytest.mark.parametrize("chosen", ["policies", "maximal"])
def test_both_sides_are_encrypted_and_the_server_is_verified(chosen: str) -> None:
    settings = configuration(chosen)["pgbouncer"]
    assert settings["client_tls_sslmode"] == "require"
    assert settings["server_tls_sslmode"] == "verify-full"
    assert settings["auth_type"] == "scram-sha-256"
    assert "admin_users" not in settings


def test_only_its_own_password_is_in_its_secret() -> None:
    [secret] = [
        item
        for item in render("postgres", "policies").objects
        if item["kind"] == "Secret" and item["metadata"]["name"] == "pgbouncer"
    ]
    assert set(secret["data"]) == {"password", "userlist.txt"}


def test_without_it_nothing_of_it_is_there() -> None:
    assert [
        item["metadata"]["name"] for item in render("postgres", "default").objects if "pgbouncer" in str(item)
    ] == []
