"""Databases that real processes share."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg

from testing.processes import environment, manage


def session_beside(variables: Mapping[str, str]) -> psycopg.Connection[tuple[Any, ...]]:
    """Connect to the server that an application's environment names, but not to its database."""
    return psycopg.connect(
        host=variables["DATABASE_HOST"],
        port=variables["DATABASE_PORT"],
        user=variables["DATABASE_USER"],
        password=variables["DATABASE_PASSWORD"],
        dbname="postgres",
        autocommit=True,
    )


@contextmanager
def migrated_database() -> Iterator[dict[str, str]]:
    """Make a migrated database on the tests' server; return the environment that leads there."""
    names = ("HOST", "PORT", "NAME", "USER", "PASSWORD", "SSLMODE")
    given = {f"DATABASE_{name}": os.environ[f"DATABASE_{name}"] for name in names}
    server = session_beside(given)
    name = f"served_{uuid.uuid4().hex}"
    with server:
        server.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))
        try:
            variables = environment(given | {"DATABASE_NAME": name})
            done = manage(variables, "migrate")
            assert done.returncode == 0, done.stderr
            yield variables
        finally:
            server.execute(psycopg.sql.SQL("DROP DATABASE {} WITH (FORCE)").format(psycopg.sql.Identifier(name)))
