"""The worker as it runs in a pod: a real process, a real database, a real mail server, all of which may go away."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from operations.worker import Job, Worker
from outbox.delivery import KEEP_RECORD
from outbox.models import Mail
from testing.mail_server import MailServer
from testing.processes import WorkerProcess, environment, manage
from testing.server import Server

MAIL = """
    INSERT INTO outbox_mail (sender, recipients, subject, content, state, created_at, attempts, next_attempt_at,
        last_error)
    SELECT 'us@example.com', ARRAY[number || '@example.com'], 'test',
        convert_to(E'Subject: test\\r\\n\\r\\ntest\\r\\n', 'UTF8'), 'waiting', now(), 0, now(), ''
    FROM generate_series(%s::int, %s::int) number
"""


def connect(variables: Mapping[str, str]) -> psycopg.Connection[tuple[Any, ...]]:
    """Connect to the database that the processes share."""
    return psycopg.connect(
        host=variables["DATABASE_HOST"],
        port=variables["DATABASE_PORT"],
        user=variables["DATABASE_USER"],
        password=variables["DATABASE_PASSWORD"],
        dbname=variables["DATABASE_NAME"],
        autocommit=True,
    )


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    """Return as soon as the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_no_mail_is_lost_or_sent_twice_whatever_goes_down(served_database: dict[str, str]) -> None:
    server = MailServer()
    variables = served_database | server.environment()
    with connect(served_database) as database, WorkerProcess(variables) as worker:
        database.execute(MAIL, [1, 20])
        wait_for(lambda: worker.metrics()["exchange_mail_server_unreachable_total"] > 0)
        worker.kill()
        server.start()
        try:
            worker.start()
            wait_for(lambda: len(server.received) >= 5)
            worker.kill()
            database.execute(MAIL, [21, 40])
            worker.start()
            wait_for(lambda: database.execute("SELECT count(*) FROM outbox_mail WHERE attempts = 0").fetchone() == (0,))
            # What was claimed but not sent when it was killed is tried again a minute later: let the minute pass.
            database.execute("UPDATE outbox_mail SET next_attempt_at = now() WHERE state = 'waiting'")
            wait_for(
                lambda: database.execute("SELECT count(*) FROM outbox_mail WHERE state = 'waiting'").fetchone() == (0,)
            )
            assert worker.metrics()['exchange_mails_total{result="sent"}'] >= 20
            assert worker.terminate() == 0
        finally:
            server.stop()
        tried_twice = database.execute("SELECT recipients[1] FROM outbox_mail WHERE attempts > 1").fetchall()
    arrived = Counter(mail.recipients[0] for mail in server.received)
    assert set(arrived) == {f"{number}@example.com" for number in range(1, 41)}
    # Only the one that was under way when the worker was killed may have come twice.
    assert len(tried_twice) <= 1
    assert {address for address, times in arrived.items() if times > 1} <= {row[0] for row in tried_twice}


def test_ends_within_seconds_and_says_so(served_database: dict[str, str]) -> None:
    with WorkerProcess(served_database, "--interval", "30") as worker:
        wait_for(lambda: worker.metrics()["exchange_worker_active"] == 1)
        started = time.monotonic()
        assert worker.terminate() == 0
        assert time.monotonic() - started < 5
        assert [line["event"] for line in worker.logs()][-1] == "worker has stopped"


def test_one_works_and_the_other_takes_over(served_database: dict[str, str]) -> None:
    with WorkerProcess(served_database) as first:
        wait_for(lambda: first.metrics()["exchange_worker_active"] == 1)
        with WorkerProcess(served_database) as second:
            beat = second.heartbeat.stat().st_mtime_ns
            wait_for(lambda: second.heartbeat.stat().st_mtime_ns > beat)
            assert second.metrics()["exchange_worker_active"] == 0
            once = manage(served_database, "run_worker", "--once")
            assert (once.returncode, "another worker is at work" in once.stdout) == (0, True)
            first.kill()
            wait_for(lambda: second.metrics()["exchange_worker_active"] == 1)


def test_database_goes_away_and_comes_back() -> None:
    database = Server()
    try:
        variables = environment(database.environment())
        assert manage(variables, "migrate").returncode == 0
        with MailServer() as server, WorkerProcess(variables | server.environment()) as worker:
            wait_for(lambda: worker.metrics()["exchange_worker_active"] == 1)
            database.stop()
            wait_for(lambda: any(line["event"] == "the database can't be used, trying again" for line in worker.logs()))
            beat = worker.heartbeat.stat().st_mtime_ns
            wait_for(lambda: worker.heartbeat.stat().st_mtime_ns > beat)
            database.start()
            with connect(variables) as connection:
                connection.execute(MAIL, [1, 1])
            wait_for(lambda: len(server.received) == 1)
            assert worker.process.poll() is None
            assert not any(line["level"] == "error" for line in worker.logs())
    finally:
        database.remove()


@pytest.mark.django_db
def test_a_job_that_fails_keeps_no_other_from_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.db.connection.close", lambda: None)
    done: list[str] = []

    def fail(_stop: object) -> None:
        done.append("failed")
        raise ZeroDivisionError

    worker = Worker([Job("bad", fail, 1), Job("good", lambda _stop: done.append("good"), 1)], 0.1)
    assert not worker.run_once()
    assert done == ["failed", "good"]


@pytest.mark.django_db
def test_once_says_that_a_job_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.db.connection.close", lambda: None)
    monkeypatch.setattr("operations.management.commands.run_worker.forget_old_mails", lambda: 1 / 0)
    with pytest.raises(CommandError, match="not every job went well"):
        call_command("run_worker", "--once")


@pytest.mark.django_db
def test_once_forgets_old_mails() -> None:
    long_ago = timezone.now() - KEEP_RECORD - timedelta(hours=1)
    Mail.objects.create(sender="us@example.com", recipients=["a@example.com"], state="sent", decided_at=long_ago)
    call_command("run_worker", "--once")
    assert not Mail.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "variables", "message"),
    [
        (["--interval", "0"], {}, "'0' is not a number from 0.05 to 60"),
        (["--interval", "nan"], {}, "'nan' is not a number"),
        (["--heartbeat", "/nowhere/at/all"], {}, "there is no folder /nowhere/at"),
        ([], {"METRICS_PORT": "70000"}, "METRICS_PORT is '70000'"),
    ],
)
def test_bad_input(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], variables: dict[str, str], message: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CommandError, match=message):
        call_command("run_worker", *arguments)
