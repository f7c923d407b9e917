from __future__ import annotations

import subprocess
import sys
import threading
import time
from io import StringIO

import psycopg
import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from django.http import HttpRequest

from accounts.models import User
from operations.management.commands.migrate import ADVISORY_LOCK
from testing.processes import APP, manage

PASSWORD = "correct-horse-9"


def create_admin() -> str:
    """Run the command and return what it printed."""
    out = StringIO()
    call_command("create_admin", stdout=out)
    return out.getvalue()


@pytest.mark.django_db
def test_admin_is_created_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_USERNAME", "root")
    monkeypatch.setenv("ADMIN_PASSWORD", PASSWORD)
    first = create_admin()
    monkeypatch.setenv("ADMIN_PASSWORD", "another-horse-9")
    second = create_admin()
    assert (first, second) == ("root created\n", "root exists; nothing changed\n")
    admin = User.objects.get()
    assert admin.is_superuser
    assert authenticate(username="root", password=PASSWORD) == admin


@pytest.mark.django_db
def test_admin_can_log_in_by_mail_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_PASSWORD", PASSWORD)
    monkeypatch.setenv("ADMIN_EMAIL", "Root@example.com")
    assert create_admin() == "admin created\n"
    credentials = {"email": "root@example.com", "password": PASSWORD}
    assert authenticate(HttpRequest(), **credentials) == User.objects.get()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "ADMIN_PASSWORD is not set"),
        ({"ADMIN_PASSWORD": "12345"}, "ADMIN_PASSWORD is refused"),
        ({"ADMIN_PASSWORD": PASSWORD, "ADMIN_USERNAME": "a b"}, "ADMIN_USERNAME is 'a b'"),
        ({"ADMIN_PASSWORD": PASSWORD, "ADMIN_EMAIL": "nobody"}, "ADMIN_EMAIL is 'nobody'"),
    ],
)
def test_bad_input(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CommandError) as caught:
        create_admin()
    assert message in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert "12345" not in str(caught.value)
    assert not User.objects.exists()


def connect(variables: dict[str, str]) -> psycopg.Connection[tuple[object, ...]]:
    """Connect to the database that the processes share."""
    return psycopg.connect(
        host=variables["DATABASE_HOST"],
        port=variables["DATABASE_PORT"],
        user=variables["DATABASE_USER"],
        password=variables["DATABASE_PASSWORD"],
        dbname=variables["DATABASE_NAME"],
        autocommit=True,
    )


def test_migrate_waits_for_one_that_runs(served_database: dict[str, str]) -> None:
    with connect(served_database) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [ADVISORY_LOCK])
        waiting = subprocess.Popen(
            [sys.executable, "manage.py", "migrate"], cwd=APP, env=served_database, stdout=subprocess.PIPE, text=True
        )
        threading.Thread(target=waiting.wait, daemon=True).start()
        deadline = time.monotonic() + 30
        while not other.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchone():
            assert waiting.poll() is None, "it didn't wait"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        other.execute("SELECT pg_advisory_unlock(%s)", [ADVISORY_LOCK])
        out, _ = waiting.communicate(timeout=30)
    assert waiting.returncode == 0
    assert "No migrations to apply" in out


def test_migrate_gives_up_on_a_table_lock(served_database: dict[str, str]) -> None:
    with connect(served_database) as other, other.transaction():
        other.execute("LOCK TABLE operations_staticfile IN ACCESS SHARE MODE")
        pid = other.info.backend_pid
        done = manage(served_database | {"MIGRATE_LOCK_TIMEOUT_MS": "100"}, "migrate", "operations", "zero")
    assert done.returncode != 0
    [*_, reason] = done.stderr.splitlines()
    assert reason.startswith(
        "CommandError: a migration got no lock on its table within 100 ms (MIGRATE_LOCK_TIMEOUT_MS)"
    )
    assert f"pid {pid} (" in reason
    assert manage(served_database, "migrate", "--check").returncode == 0
