"""Fixtures of every test."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator

import psycopg
import pytest
from django.test import Client

from accounts.models import User
from ledger.models import Asset
from testing.processes import environment, manage


@pytest.fixture
def make_user(db: None) -> Callable[[str], User]:
    """Return a function that registers a customer."""
    del db

    def make(name: str) -> User:
        return User.objects.create_user(username=name, email=f"{name}@example.com", password="correct-horse-9")

    return make


@pytest.fixture
def user(make_user: Callable[[str], User]) -> User:
    """Return a customer."""
    return make_user("alice")


@pytest.fixture
def customer_client(user: User) -> Client:
    """Return a browser in which the customer is logged in."""
    client = Client()
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


@pytest.fixture
def btc(db: None) -> Asset:
    """Return an asset of eight decimals."""
    del db
    return Asset.objects.get(pk="BTC")


@pytest.fixture
def eur(db: None) -> Asset:
    """Return an asset of two decimals."""
    del db
    return Asset.objects.get(pk="EUR")


@pytest.fixture(scope="session")
def served_database() -> Iterator[dict[str, str]]:
    """Make a migrated database that real processes share; return the environment that leads there."""
    names = ("HOST", "PORT", "NAME", "USER", "PASSWORD", "SSLMODE")
    given = {f"DATABASE_{name}": os.environ[f"DATABASE_{name}"] for name in names}
    server = psycopg.connect(
        host=given["DATABASE_HOST"],
        port=given["DATABASE_PORT"],
        user=given["DATABASE_USER"],
        password=given["DATABASE_PASSWORD"],
        dbname="postgres",
        autocommit=True,
    )
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
