"""The writer of a drill: many times a second a new TLS connection, one row, and a line about how it went.

Runs in a pod with psycopg. libpq's variables (PGHOST, PGHOSTADDR, ...) say where to; with PGHOSTADDR no name is looked
up. Attempts begin on a fixed beat, whether or not those before have ended, so that a slow database isn't spared.

Prints JSON lines: one for each attempt ("id", "began", "ended" in seconds since 1970, "port" that it came from,
"server", "error"). After SIGTERM it waits for what is under way; with WRITER_CHECK=yes it then reads all ids that the
table holds, says {"found": [...]}, and removes the table. The schema is the drill's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import sys
import threading
import time
from typing import Any

import psycopg
from psycopg import pq

NAME = os.environ.get("WRITER_NAME", "main")
BEAT_SECONDS = 1 / float(os.environ.get("WRITER_RATE", "20"))
CHECKS = os.environ.get("WRITER_CHECK") == "yes"
CONNECT_SECONDS = 2.0
# From the first byte to the acknowledgement; a commit that waits for a standby is cut off here.
ATTEMPT_SECONDS = 4.0
MOST_AT_ONCE = 24
CHECK_SECONDS = 120

stopped = threading.Event()
printing = threading.Lock()


def say(line: dict[str, Any]) -> None:
    """Print a line at once."""
    with printing:
        sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")
        sys.stdout.flush()


def connect() -> psycopg.Connection[Any]:
    """Return a new connection. It isn't psycopg.connect, which doesn't tell the port of a connection that fails.

    Raises:
        Unconnected: it failed, or took too long.
    """
    line = pq.PGconn.connect_start(b"")
    port, deadline = 0, time.monotonic() + CONNECT_SECONDS
    # At once: what is refused has no socket any more after the first look.
    with contextlib.suppress(psycopg.Error, OSError):
        port = local_port(line.socket)
    with selectors.DefaultSelector() as selector:
        while (state := line.connect_poll()) not in (pq.PollingStatus.OK, pq.PollingStatus.FAILED):
            wanted = selectors.EVENT_READ if state == pq.PollingStatus.READING else selectors.EVENT_WRITE
            key = selector.register(line.socket, wanted)
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            selector.unregister(key.fileobj)
            if not ready:
                line.finish()
                raise Unconnected(port, "connection timeout expired")
    if state == pq.PollingStatus.FAILED:
        message = line.error_message.decode(errors="replace")
        line.finish()
        raise Unconnected(port, f"connection failed: {message}")
    line.nonblocking = 1  # as psycopg has its connections
    return psycopg.Connection(line)


class Unconnected(psycopg.OperationalError):
    """There is no connection; `port` is where it should have begun, 0 if it had none yet."""

    def __init__(self, port: int, message: str) -> None:
        """Keep the port."""
        super().__init__(message)
        self.port = port


def local_port(line: int) -> int:
    """Return the port where a connection begins."""
    with socket.socket(fileno=os.dup(line)) as copy:
        return int(copy.getsockname()[1])


def hang_up(wire: socket.socket) -> None:
    """End a connection that may have ended by itself."""
    with contextlib.suppress(OSError):
        wire.shutdown(socket.SHUT_RDWR)


def run(sql: str, *values: str, line: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
    """Run one statement on a connection of its own; a commit of its own. Notes the connection's port in `line`."""
    with connect() as connection, socket.socket(fileno=os.dup(connection.fileno())) as wire:
        if line is not None:
            line["port"] = local_port(connection.fileno())
        connection.autocommit = True
        # A server that has stopped answering is hung up on: libpq itself would wait for ever.
        cut = threading.Timer(ATTEMPT_SECONDS, hang_up, [wire])
        cut.start()
        try:
            cursor = connection.execute(sql, values)
            return cursor.fetchall() if cursor.description else []
        finally:
            cut.cancel()
            cut.join()


def attempt(number: int) -> None:
    """Write one row and say how it went."""
    line: dict[str, Any] = {"id": f"{NAME}-{number}", "began": time.time()}
    try:
        insert = "INSERT INTO platform_drill.written VALUES (%s) RETURNING host(inet_server_addr())"
        line["server"] = run(insert, line["id"], line=line)[0][0]
    except Exception as error:  # noqa: BLE001  # whatever it is, it is an attempt that failed
        line["error"] = " ".join(str(error).split())[-200:] or type(error).__name__
        line["port"] = line.get("port") or getattr(error, "port", 0)
    line["ended"] = time.time()
    say(line)


def until_it_works(sql: str) -> list[tuple[Any, ...]]:
    """Run a statement that changes nothing when it is repeated, until a primary answers."""
    deadline = time.monotonic() + CHECK_SECONDS
    while True:
        try:
            return run(sql)
        except psycopg.Error:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def main() -> None:
    """Write until told to stop, then check."""
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    if CHECKS:
        until_it_works("DROP SCHEMA IF EXISTS platform_drill CASCADE")
        until_it_works("CREATE SCHEMA IF NOT EXISTS platform_drill")
        until_it_works("CREATE TABLE IF NOT EXISTS platform_drill.written (id text PRIMARY KEY)")
    under_way: set[threading.Thread] = set()
    number, due = 0, time.monotonic()
    while not stopped.wait(max(0.0, due - time.monotonic())):
        due = max(due + BEAT_SECONDS, time.monotonic() - BEAT_SECONDS)
        under_way = {thread for thread in under_way if thread.is_alive()}
        if len(under_way) < MOST_AT_ONCE:
            number += 1
            thread = threading.Thread(target=attempt, args=[number], daemon=True)
            thread.start()
            under_way.add(thread)
    for thread in under_way:
        thread.join(2 * ATTEMPT_SECONDS)
    if CHECKS:
        say({"found": [row[0] for row in until_it_works("SELECT id FROM platform_drill.written ORDER BY id")]})
        until_it_works("DROP SCHEMA IF EXISTS platform_drill CASCADE")
    say({"end": True})
    # An attempt that hangs must not turn the end into a failure: Python aborts if a thread prints while it shuts down.
    os._exit(0)


if __name__ == "__main__":
    main()
