"""The server as it runs in a pod: real gunicorn, real workers, a real database that goes away and comes back."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator

import pytest

from testing.databases import session_beside
from testing.processes import Answer, Gunicorn, environment, manage
from testing.server import Server


@pytest.fixture(scope="module")
def server(served_database: dict[str, str]) -> Iterator[Gunicorn]:
    """Run one with two workers."""
    with Gunicorn(served_database) as running:
        yield running


def responses(metrics: str) -> float:
    """Return how many answers of /testing/slow the metrics count."""
    pattern = r'^django_http_responses_total_by_status_view_method_total\{.*method="GET".*status="200".*view="testing.urls.slow".*\} (\S+)'
    return sum(float(count) for count in re.findall(pattern, metrics, re.MULTILINE))


def test_ready(server: Gunicorn) -> None:
    assert server.get("/readyz").status == 200


def test_metrics_add_up_over_workers(server: Gunicorn) -> None:
    before = responses(server.metrics())
    # Two at a time keep both workers busy.
    threads = [threading.Thread(target=server.get, args=["/testing/slow?seconds=0.02"]) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Whichever worker answers a scrape knows what all did.
    assert {responses(server.metrics()) for _ in range(6)} == {before + 20}
    assert (
        'django_http_requests_latency_seconds_by_view_method_bucket{le="0.05",method="GET",view="testing.urls.slow"}'
        in server.metrics()
    )


def test_metrics_are_not_on_the_main_port(server: Gunicorn) -> None:
    assert server.get("/metrics").status == 404


def test_access_log_carries_the_request_id(server: Gunicorn) -> None:
    answer = server.get("/testing/query?secret=hunter2", headers={"X-Request-ID": "look-for-me-1"})
    assert answer.headers["X-Request-ID"] == "look-for-me-1"
    deadline = time.monotonic() + 5
    while not (lines := [line for line in server.logs() if line.get("request_id") == "look-for-me-1"]):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert (lines[-1]["path"], lines[-1]["status"], lines[-1]["method"]) == ("/testing/query", 200, "GET")
    assert lines[-1]["duration_seconds"] > 0
    assert "hunter2" not in server.log_file.read_text()


def test_termination_lets_requests_finish(served_database: dict[str, str]) -> None:
    answers: list[Answer] = []
    with Gunicorn(served_database) as running:
        under_way = threading.Thread(target=lambda: answers.append(running.get("/testing/slow?seconds=2")))
        under_way.start()
        time.sleep(0.5)  # the request has begun, its answer takes longer than the signal
        assert running.terminate() == 0
        under_way.join()
    assert [(answer.status, answer.body) for answer in answers] == [(200, "done")]


def test_wrong_settings_end_it_at_once(served_database: dict[str, str]) -> None:
    with pytest.raises(RuntimeError) as caught, Gunicorn(served_database | {"WEB_THREADS": "0", "LOG_LEVEL": "loud"}):
        pass
    assert "WEB_THREADS is '0'; expected a whole number from 1 to 64" in str(caught.value)
    assert "LOG_LEVEL is 'loud'; expected one of DEBUG, INFO, WARNING, ERROR" in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_database_goes_away_and_comes_back() -> None:
    database = Server()
    try:
        variables = environment(database.environment())
        assert manage(variables, "migrate").returncode == 0
        with Gunicorn(variables | {"WEB_CONCURRENCY": "1", "WEB_THREADS": "2"}) as running:
            assert running.get("/testing/query").status == 200
            database.stop()
            down = [running.get("/testing/query") for _ in range(4)]
            assert [answer.status for answer in down] == [503] * 4
            assert {answer.headers["Retry-After"] for answer in down} == {"5"}
            assert "Back in a moment" in down[0].body
            assert running.get("/healthz").status == 200
            deadline = time.monotonic() + 10  # an answer of /readyz is reused for a moment
            while running.get("/readyz").status != 503:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            database.start()
            # Each thread replaces its connection at its first use: not one request more fails.
            assert [running.get("/testing/query").status for _ in range(6)] == [200] * 6
            assert sum(line["event"].startswith("Booting worker") for line in running.logs()) == 1
    finally:
        database.remove()


def end_waiting(database: dict[str, str]) -> int:
    """End the server process that waits for a request, and return its number."""
    deadline = time.monotonic() + 10
    with session_beside(database) as other:
        while True:
            found = other.execute(
                "SELECT pid, pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            ).fetchone()
            if found:
                return int(found[0])
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.mark.parametrize(
    ("method", "headers", "times", "status"),
    [
        ("GET", {}, 1, 200),
        ("GET", {}, 2, 503),
        ("POST", {"Idempotency-Key": "only-once-1"}, 1, 200),
        ("POST", {}, 1, 503),
    ],
)
def test_connection_cut_during_a_request(
    served_database: dict[str, str], method: str, headers: dict[str, str], times: int, status: int
) -> None:
    with Gunicorn(served_database | {"WEB_CONCURRENCY": "1", "WEB_THREADS": "1"}) as running:
        answers: list[Answer] = []
        path = "/testing/wait?seconds=2"
        under_way = threading.Thread(target=lambda: answers.append(running.send(method, path, headers)))
        under_way.start()
        ended = [end_waiting(served_database) for _ in range(times)]
        under_way.join()
        assert answers[0].status == status
        # Done by another process of the server than the one that was ended.
        assert status == 503 or int(answers[0].body) not in ended
        repeated = [line["outcome"] for line in running.logs() if line["event"] == "request_repeated"]
        assert repeated == {(1, 200): ["answered"], (2, 503): ["failed"], (1, 503): []}[times, status]


def test_connection_cut_between_requests_is_not_noticed(served_database: dict[str, str]) -> None:
    with Gunicorn(served_database | {"WEB_CONCURRENCY": "1", "WEB_THREADS": "1"}) as running:
        first = running.get("/testing/query").body
        with session_beside(served_database) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [int(first)])
        again = running.get("/testing/query")
        assert again.status == 200
        assert again.body != first
