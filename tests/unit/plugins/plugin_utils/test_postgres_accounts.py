"""SQL between the roles and databases that are there and those that are wanted."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.postgres_accounts import (
    account_statements,
    extension_statements,
    identifier,
    literal,
)
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.scram import scram_verifier

LOGIN: dict[str, Any] = {"login": True, "member_of": ["shop"], "set_role": "shop"}
WANTED: dict[str, Any] = {
    "roles": [
        {"name": "shop", "login": False},
        {"name": "shop_a", **LOGIN, "password": "geheim"},
        {"name": "shop_b", **LOGIN},
    ],
    "databases": [
        {"name": "shop", "owner": "shop"},
        {"name": "postgres", "connect": ["rewinder"]},
        {"name": "template1"},
    ],
}
FRESH: dict[str, Any] = {
    "roles": {},
    "databases": {
        "postgres": {"owner": "postgres", "connect": ["public", "postgres"]},
        "template1": {"owner": "postgres", "connect": ["public", "postgres"]},
    },
}
DONE: dict[str, Any] = {
    "roles": {
        "shop": {"login": False, "password": None, "settings": [], "member_of": [], "connection_limit": -1},
        "shop_a": {
            "login": True,
            "password": scram_verifier("geheim"),
            "settings": ["role=shop"],
            "member_of": ["shop"],
            "connection_limit": -1,
        },
        "shop_b": {
            "login": True,
            "password": "SCRAM-old",
            "settings": ["role=shop"],
            "member_of": ["shop"],
            "connection_limit": -1,
        },
        "somebody": {"login": True, "password": None, "settings": [], "member_of": [], "connection_limit": -1},
    },
    "databases": {
        "shop": {"owner": "shop", "connect": ["shop"]},
        "postgres": {"owner": "postgres", "connect": ["postgres", "rewinder"]},
        "template1": {"owner": "postgres", "connect": ["postgres"]},
        "mine": {"owner": "somebody", "connect": ["public"]},
    },
}


def shown(actual: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    return [statement["shown"] for statement in account_statements(actual, wanted)]


def with_role(name: str, **changed: Any) -> dict[str, Any]:
    return {**DONE, "roles": {**DONE["roles"], name: {**DONE["roles"][name], **changed}}}


def with_database(name: str, **changed: Any) -> dict[str, Any]:
    return {**DONE, "databases": {**DONE["databases"], name: {**DONE["databases"][name], **changed}}}


def test_everything_on_a_fresh_server() -> None:
    assert shown(FRESH, WANTED) == [
        'CREATE ROLE "shop" NOLOGIN',
        'CREATE ROLE "shop_a" LOGIN',
        'ALTER ROLE "shop_a" PASSWORD ...',
        'GRANT "shop" TO "shop_a" WITH INHERIT TRUE, SET TRUE',
        "ALTER ROLE \"shop_a\" SET role = 'shop'",
        'CREATE ROLE "shop_b" LOGIN',
        'GRANT "shop" TO "shop_b" WITH INHERIT TRUE, SET TRUE',
        "ALTER ROLE \"shop_b\" SET role = 'shop'",
        'CREATE DATABASE "shop" OWNER "shop"',
        'REVOKE ALL ON DATABASE "shop" FROM PUBLIC',
        'REVOKE ALL ON DATABASE "postgres" FROM PUBLIC',
        'GRANT CONNECT ON DATABASE "postgres" TO "rewinder"',
        'REVOKE ALL ON DATABASE "template1" FROM PUBLIC',
    ]


def test_nothing_when_all_is_as_wanted() -> None:
    assert account_statements(DONE, WANTED) == []


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (with_role("shop", login=True), ['ALTER ROLE "shop" NOLOGIN']),
        (with_role("shop_b", login=False), ['ALTER ROLE "shop_b" LOGIN']),
        (with_role("shop_a", password=None), ['ALTER ROLE "shop_a" PASSWORD ...']),
        (with_role("shop_a", password=scram_verifier("old")), ['ALTER ROLE "shop_a" PASSWORD ...']),
        (with_role("shop_b", password=None), []),
        (with_role("shop_a", settings=[]), ["ALTER ROLE \"shop_a\" SET role = 'shop'"]),
        (with_role("shop_a", settings=["role=other"]), ["ALTER ROLE \"shop_a\" SET role = 'shop'"]),
        (with_role("shop_a", member_of=[]), ['GRANT "shop" TO "shop_a" WITH INHERIT TRUE, SET TRUE']),
        (with_database("shop", owner="postgres"), ['ALTER DATABASE "shop" OWNER TO "shop"']),
        (with_database("shop", connect=["public"]), ['REVOKE ALL ON DATABASE "shop" FROM PUBLIC']),
        (with_database("postgres", connect=[]), ['GRANT CONNECT ON DATABASE "postgres" TO "rewinder"']),
    ],
)
def test_one_difference(actual: dict[str, Any], expected: list[str]) -> None:
    assert shown(actual, WANTED) == expected


def test_parameters_of_a_login_are_set_once() -> None:
    wanted = {"roles": [{"name": "shop_b", "login": True, "settings": {"log_statement": "none", "a.b": "it's"}}]}
    wanted["databases"] = []
    actual = with_role("shop_b", settings=["log_statement=none"])
    assert shown(actual, wanted) == ["ALTER ROLE \"shop_b\" SET a.b = 'it''s'"]
    assert shown(with_role("shop_b", settings=["log_statement=none", "a.b=it's"]), wanted) == []


LOOKUP = {"roles": [], "databases": [], "lookup": {"role": "pooler", "logins": ["shop_a", "it's"]}}
LOOKUP_SOURCE = (
    "SELECT rolname::text, rolpassword FROM pg_authid WHERE rolname = login AND rolname IN ('shop_a', 'it''s')"
)


def test_a_role_that_looks_up_verifiers_gets_all_it_needs_in_one_transaction() -> None:
    (statement,) = shown(DONE, LOOKUP)
    assert "SECURITY DEFINER SET search_path = pg_catalog" in statement
    assert literal(LOOKUP_SOURCE) in statement
    assert statement.endswith(
        "; REVOKE ALL ON FUNCTION public.pooler_lookup(text) FROM PUBLIC"
        '; GRANT EXECUTE ON FUNCTION public.pooler_lookup(text) TO "pooler"'
    )


def test_a_lookup_that_is_there_stays() -> None:
    assert shown({**DONE, "lookup": LOOKUP_SOURCE}, LOOKUP) == []
    assert len(shown({**DONE, "lookup": LOOKUP_SOURCE + " "}, LOOKUP)) == 1
    assert shown({**DONE, "lookup": LOOKUP_SOURCE}, WANTED) == []


MONITOR: dict[str, Any] = {"name": "watcher", "login": True, "member_of": ["pg_monitor"], "connection_limit": 5}


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(-1, ['ALTER ROLE "watcher" CONNECTION LIMIT 5']), (9, ['ALTER ROLE "watcher" CONNECTION LIMIT 5']), (5, [])],
)
def test_a_limit_of_connections(limit: int, expected: list[str]) -> None:
    there = {"login": True, "password": None, "settings": [], "member_of": ["pg_monitor"], "connection_limit": limit}
    assert shown({"roles": {"watcher": there}, "databases": {}}, {"roles": [MONITOR], "databases": []}) == expected


def test_a_new_role_that_monitors() -> None:
    assert shown(FRESH, {"roles": [MONITOR], "databases": []}) == [
        'CREATE ROLE "watcher" LOGIN',
        'ALTER ROLE "watcher" CONNECTION LIMIT 5',
        'GRANT "pg_monitor" TO "watcher" WITH INHERIT TRUE, SET TRUE',
    ]


def test_passwords_are_sent_as_verifiers_and_shown_not_at_all() -> None:
    (statement,) = account_statements(with_role("shop_a", password=None), WANTED)
    assert "PASSWORD 'SCRAM-SHA-256$4096:" in statement["sql"]
    assert "geheim" not in str(statement)
    assert "SCRAM" not in statement["shown"]


def test_a_database_that_is_not_ours_to_make_is_named() -> None:
    with pytest.raises(ValueError, match="database lost does not exist"):
        account_statements(DONE, {"roles": [], "databases": [{"name": "lost"}]})


@pytest.mark.parametrize(
    ("text", "as_name", "as_text"),
    [
        ("shop", '"shop"', "'shop'"),
        ('a"b', '"a""b"', "'a\"b'"),
        ("it's", '"it\'s"', "'it''s'"),
        ("a\\b", '"a\\b"', "'a\\b'"),
    ],
)
def test_quoting(text: str, as_name: str, as_text: str) -> None:
    assert identifier(text) == as_name
    assert literal(text) == as_text


def test_a_role_that_makes_databases_gets_the_right_with_its_creation() -> None:
    wanted = {"roles": [{"name": "restore", "login": True, "create_databases": True}], "databases": []}
    shown = [one["shown"] for one in account_statements(FRESH, wanted)]
    assert shown == ['CREATE ROLE "restore" LOGIN', 'ALTER ROLE "restore" CREATEDB']


def test_a_declared_role_needs_no_more_than_a_name() -> None:
    shown = [one["shown"] for one in account_statements(FRESH, {"roles": [{"name": "shop"}], "databases": []})]
    assert shown == ['CREATE ROLE "shop" NOLOGIN']


@pytest.mark.parametrize(("said", "meant"), [("yes", "LOGIN"), ("no", "NOLOGIN"), (True, "LOGIN"), (False, "NOLOGIN")])
def test_a_login_is_what_ansible_calls_true(said: object, meant: str) -> None:
    wanted = {"roles": [{"name": "shop", "login": said}], "databases": []}
    assert [one["shown"] for one in account_statements(FRESH, wanted)] == [f'CREATE ROLE "shop" {meant}']


def test_only_extensions_that_are_missing_are_made() -> None:
    (made,) = extension_statements(["plpgsql", "citext"], ["citext", "uuid-ossp"])
    assert made == {"sql": 'CREATE EXTENSION "uuid-ossp"', "shown": 'CREATE EXTENSION "uuid-ossp"'}
    assert extension_statements(["plpgsql"], []) == []
