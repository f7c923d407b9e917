"""A loop that does background jobs, one after the other, for as long as the process is wanted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog
from django.db import connection
from prometheus_client import Counter, Gauge, Histogram

from operations.errors import is_passing

log = structlog.get_logger(__name__)

# Any number will do as long as nobody else in this database uses it.
ADVISORY_LOCK: Final = 7_310_588_202
ACTIVE: Final = Gauge("exchange_worker_active", "1 if this worker does the work, 0 if it waits for another one to end")
TURN_SECONDS: Final = Histogram("exchange_worker_turn_seconds", "How long the loop took for one turn")
JOB_SECONDS: Final = Histogram("exchange_worker_job_seconds", "How long a job took", ["job"])
ERRORS: Final = Counter(
    "exchange_worker_errors", "Jobs that ended with an error, by whether it passes", ["job", "kind"]
)

Stop = Callable[[], bool]


@dataclass
class Job:
    """Something to do now and then. `work` asks the function that it gets whether it should end, between two units."""

    name: str
    work: Callable[[Stop], object]
    every_seconds: float
    # How long it is left alone after an error.
    pause_seconds: float = 10.0
    # Errors that are somebody else's and pass: a warning without a traceback.
    expected: tuple[type[Exception], ...] = ()
    due_at: float = field(default=0.0, init=False)


class Worker:
    """Does jobs while it has the lock. Of several workers one has it, the others wait: a spare that takes over at once.

    The lock spares double work; it isn't needed for right results, since each job is safe beside itself. It belongs to
    the database connection, so PostgreSQL gives it back when the worker or its connection is gone.
    """

    def __init__(self, jobs: Sequence[Job], interval_seconds: float, heartbeat: Path | None = None) -> None:
        """Keep what to do; `heartbeat` is a file that is touched at every turn."""
        self.jobs, self.interval_seconds, self.heartbeat = jobs, interval_seconds, heartbeat
        self._stop = threading.Event()
        self._locked: object | None = None

    def stop(self) -> None:
        """End soon: the unit of work at hand is finished."""
        self._stop.set()

    def run(self) -> None:
        """Work until stop() is called."""
        log.info("worker starts", jobs=[job.name for job in self.jobs])
        while not self._stop.is_set():
            self._beat()
            started = time.monotonic()
            try:
                if self._has_lock():
                    self._turn()
            except Exception as error:
                if not is_passing(error):
                    raise
                log.warning("the database can't be used, trying again", error=str(error).strip())
                self._reconnect()
            TURN_SECONDS.observe(time.monotonic() - started)
            self._stop.wait(self.interval_seconds)
        self._reconnect()
        log.info("worker has stopped")

    def run_once(self) -> bool:
        """Do every job once; say whether all went well. Another worker that has the lock does the work instead."""
        if not self._has_lock():
            log.info("another worker is at work")
            return True
        try:
            done = [self._do(job) for job in self.jobs]
            return all(done)
        finally:
            self._release()

    def _turn(self) -> None:
        for job in self.jobs:
            if self._stop.is_set():
                return
            if time.monotonic() >= job.due_at:
                self._do(job)
                self._beat()

    def _do(self, job: Job) -> bool:
        """Do a job and say whether it went well. What fails is logged and tried again later, and the others go on."""
        started = time.monotonic()
        pause, good = job.every_seconds, False
        try:
            with structlog.contextvars.bound_contextvars(job=job.name), JOB_SECONDS.labels(job.name).time():
                job.work(self._should_stop)
            good = True
        except job.expected as error:
            ERRORS.labels(job.name, "passing").inc()
            log.warning("job put off", job=job.name, error=str(error))
            pause = job.pause_seconds
        except Exception as error:
            if is_passing(error):
                ERRORS.labels(job.name, "passing").inc()
                log.warning("job interrupted, it is done again", job=job.name, error=str(error).strip())
                pause = 0.0
            else:
                ERRORS.labels(job.name, "unexpected").inc()
                log.exception("job failed", job=job.name)
                pause = job.pause_seconds
            self._reconnect()
        job.due_at = started + pause
        return good

    def _should_stop(self) -> bool:
        self._beat()
        return self._stop.is_set()

    def _has_lock(self) -> bool:
        """Say whether the lock is ours, and try to get it if it isn't."""
        if self._locked is None or self._locked is not connection.connection:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_try_advisory_lock(%s)", [ADVISORY_LOCK])
                (got,) = cursor.fetchone()
            if got and self._locked is None:
                log.info("worker is at work")
            self._locked = connection.connection if got else None
        ACTIVE.set(self._locked is not None)
        return self._locked is not None

    def _release(self) -> None:
        if self._locked is not None and self._locked is connection.connection:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [ADVISORY_LOCK])
        self._locked = None

    def _reconnect(self) -> None:
        """Drop the connection, and the lock with it; the next query gets a new one."""
        self._locked = None
        ACTIVE.set(0)
        connection.close()

    def _beat(self) -> None:
        if self.heartbeat is not None:
            self.heartbeat.touch()
