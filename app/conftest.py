"""Fixtures of every test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.test import Client

from accounts.models import User
from ledger.models import Asset
from testing.databases import migrated_database


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
    with migrated_database() as variables:
        yield variables
