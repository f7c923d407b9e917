from __future__ import annotations

import pytest
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client, override_settings

from operations.health import Readiness, unready_reason


@override_settings(ALLOWED_HOSTS=["exchange.example.com"], SECURE_SSL_REDIRECT=True)
@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_by_address_over_plain_http(path: str) -> None:
    assert Client().get(path, headers={"host": "10.1.2.3:8000"}).status_code == 200


def test_liveness_never_asks_the_database() -> None:
    # pytest-django lets no test without the `db` fixture near a database.
    assert Client().get("/healthz").json() == {"status": "ok"}


@override_settings(APP_VERSION="3f2a9c1")
def test_liveness_says_what_was_deployed() -> None:
    assert Client().get("/healthz").json() == {"status": "ok", "version": "3f2a9c1"}


@pytest.mark.django_db
@pytest.mark.parametrize(("version", "shown"), [("3f2a9c1", True), ("", False)])
def test_every_page_says_what_was_deployed(version: str, *, shown: bool) -> None:
    with override_settings(APP_VERSION=version):
        page = Client().get("/accounts/login/").content.decode()
    assert (f"Version {version}" in page) is shown
    assert ("<footer" in page) is shown


@pytest.mark.django_db
def test_missing_migration_is_named() -> None:
    MigrationRecorder(connection).record_unapplied("ledger", "0002_guards")
    assert unready_reason() == "migrations are not applied: ledger.0002_guards"


@pytest.mark.django_db
def test_migrations_of_a_newer_version_are_fine() -> None:
    MigrationRecorder(connection).record_applied("ledger", "9999_future")
    assert unready_reason() is None


def test_database_down(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_self: object) -> None:
        raise OperationalError("connection to server at 10.0.0.1 failed")

    monkeypatch.setattr(MigrationRecorder, "applied_migrations", fail)
    monkeypatch.setattr("django.db.connection.close", lambda: None)
    response = Client().get("/readyz")
    assert response.status_code == 503
    assert response.json() == {"status": "unavailable", "reason": "the database can't be reached"}


def test_answer_is_reused_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    answers = iter([None, "down"])
    readiness = Readiness(lambda: next(answers), lifetime_seconds=1.0)
    assert [readiness.reason(), readiness.reason()] == [None, None]
    now = 101.0
    assert readiness.reason() == "down"
