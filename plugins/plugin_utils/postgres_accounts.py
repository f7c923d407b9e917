"""Roles and databases of a PostgreSQL server: what is there, what is wanted, and the SQL between the two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.scram import scram_matches, scram_verifier


def account_statements(actual: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the SQL that makes the wanted roles and databases out of the actual ones, in order.

    Nothing is ever dropped, and a role whose password isn't named keeps the one it has.

    Args:
        actual: the answer to roles/postgres/files/state.sql.
        wanted: ``roles``, a list of name and optionally login, password, connection_limit, create_databases, member_of
            (list of roles), set_role (the role that a session of it acts as) and settings (parameters of its sessions);
            ``databases``, a list of name, owner (if it is ours to create) and connect (roles that may connect; nobody
            else may, beside the owner); optionally ``lookup``: the role that may look up the verifiers of ``logins``.

    Returns:
        Statements as ``{"sql": ..., "shown": ...}``; ``shown`` says the same without a secret.
    """
    statements: list[dict[str, str]] = []
    for role in wanted["roles"]:
        statements += _role(actual["roles"].get(role["name"]), role)
    for database in wanted["databases"]:
        statements += _database(actual["databases"].get(database["name"]), database)
    if wanted.get("lookup"):
        statements += _lookup(actual.get("lookup"), wanted["lookup"])
    return statements


def extension_statements(present: Sequence[str], wanted: Sequence[str]) -> list[dict[str, str]]:
    """Return the SQL that gives a database the extensions that it lacks. Nothing is ever dropped."""
    return [_plain(f"CREATE EXTENSION {identifier(name)}") for name in _names(wanted) if name not in present]


def identifier(name: str) -> str:
    """Return a name quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text quoted for SQL; a backslash has no meaning (standard_conforming_strings)."""
    return "'" + text.replace("'", "''") + "'"


def _role(actual: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> list[dict[str, str]]:
    name = identifier(wanted["name"])
    logs_in = boolean(wanted.get("login", False))
    login = "LOGIN" if logs_in else "NOLOGIN"
    statements: list[dict[str, str]] = []
    if actual is None:
        statements.append(_plain(f"CREATE ROLE {name} {login}"))
        actual = {"login": logs_in, "password": None, "settings": [], "member_of": [], "connection_limit": -1}
        if wanted.get("create_databases"):
            statements.append(_plain(f"ALTER ROLE {name} CREATEDB"))
    if actual["login"] != logs_in:
        statements.append(_plain(f"ALTER ROLE {name} {login}"))
    limit = wanted.get("connection_limit", actual["connection_limit"])
    if actual["connection_limit"] != limit:
        statements.append(_plain(f"ALTER ROLE {name} CONNECTION LIMIT {int(limit)}"))
    password = wanted.get("password")
    if password and not scram_matches(actual["password"], password):
        command = f"ALTER ROLE {name} PASSWORD "
        statements.append({"sql": command + literal(scram_verifier(password)), "shown": command + "..."})
    statements += [
        _plain(f"GRANT {identifier(group)} TO {name} WITH INHERIT TRUE, SET TRUE")
        for group in wanted.get("member_of", [])
        if group not in actual["member_of"]
    ]
    settings = {**({"role": wanted["set_role"]} if wanted.get("set_role") else {}), **wanted.get("settings", {})}
    statements += [
        _plain(f"ALTER ROLE {name} SET {setting} = {literal(value)}")
        for setting, value in settings.items()
        if f"{setting}={value}" not in actual["settings"]
    ]
    return statements


def _database(actual: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> list[dict[str, str]]:
    name = identifier(wanted["name"])
    owner: str | None = wanted.get("owner")
    statements: list[dict[str, str]] = []
    if actual is None:
        if owner is None:
            raise ValueError(f"database {wanted['name']} does not exist and no owner is named to create it for")
        statements.append(_plain(f"CREATE DATABASE {name} OWNER {identifier(owner)}"))
        actual = {"owner": owner, "connect": ["public", owner]}
    elif owner is not None and actual["owner"] != owner:
        statements.append(_plain(f"ALTER DATABASE {name} OWNER TO {identifier(owner)}"))
    if "public" in actual["connect"]:
        statements.append(_plain(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC"))
    statements += [
        _plain(f"GRANT CONNECT ON DATABASE {name} TO {identifier(role)}")
        for role in _names(wanted.get("connect", []))
        if role not in actual["connect"]
    ]
    return statements


def _lookup(actual: str | None, wanted: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the one statement that lets a role look up verifiers: all of it at once, so that nobody else ever can."""
    logins = ", ".join(literal(login) for login in _names(wanted["logins"]))
    source = f"SELECT rolname::text, rolpassword FROM pg_authid WHERE rolname = login AND rolname IN ({logins})"  # noqa: S608  (quoted)
    if actual == source:
        return []
    name, role = "public.pooler_lookup(text)", identifier(wanted["role"])
    create = (
        "CREATE OR REPLACE FUNCTION public.pooler_lookup(login text) RETURNS TABLE (usename text, passwd text)"
        " LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog"
    )
    rights = f"REVOKE ALL ON FUNCTION {name} FROM PUBLIC; GRANT EXECUTE ON FUNCTION {name} TO {role}"
    return [_plain(f"{create} AS {literal(source)}; {rights}")]


def _names(names: Sequence[str]) -> list[str]:
    return [str(name) for name in names]


def _plain(sql: str) -> dict[str, str]:
    return {"sql": sql, "shown": sql}
