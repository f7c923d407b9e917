"""The load counts every request once, whatever the server does with it, and keeps its rate."""

from __future__ import annotations

import asyncio
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from load.steady import OK, Load, Stream, read

DROP, ERROR, SLOW = "/drop", "/error", "/slow"
PAGE = b'<link href="/static/a.css"><script src="/static/b.js"></script>'


class Server:
    """Answers on loopback, and does to every n-th request of a path what the path says."""

    def __init__(self, every: int) -> None:
        """Take which requests something is done to."""
        self.every = every
        self.requests: Counter[str] = Counter()
        self.connections = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer what comes over a connection."""
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"(?i)content-length: (\d+)", head)
                await reader.readexactly(int(length[1]) if length else 0)
                path = head.split()[1].decode()
                self.requests[path] += 1
                chosen = self.requests[path] % self.every == 0
                if path == DROP and chosen:
                    return
                if path == SLOW:
                    await asyncio.sleep(0.3)
                body = (
                    b'<link href="/static/a.css"><script src="/static/b.js"></script>' if path == "/page" else b"fine"
                )
                status = "500 Oops" if path == ERROR and chosen else "200 OK"
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
                if b"connection: close" in head.lower():
                    await writer.drain()
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def serving(every: int = 10) -> AsyncIterator[Server]:
    server = Server(every)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    yield server
    listening.close()


def outcomes(record: Path) -> Counter[str]:
    return Counter(one.outcome for one in read(record))


async def loaded(server: Server, record: Path, *streams: Stream, seconds: float = 1.0) -> Counter[str]:
    await Load(f"http://exchange.invalid:{server.port}", record, address="127.0.0.1").run(streams, seconds)
    return outcomes(record)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize(("path", "outcome"), [(DROP, "dropped"), (ERROR, "status 500"), ("/", "")])
def test_a_known_number_of_losses_is_found_and_nothing_is_sent_twice(
    tmp_path: Path, method: str, path: str, outcome: str, *, keep_alive: bool
) -> None:
    async def scenario() -> None:
        async with serving(every=10) as server:
            stream = Stream("s", path, 100, method=method, keep_alive=keep_alive, body="x" * (method == "POST"))
            found = await loaded(server, tmp_path / "record", stream)
            assert found == ({OK: 90, outcome: 10} if outcome else {OK: 100})
            assert server.requests[path] == 100
            assert (server.connections < 60) == keep_alive

    asyncio.run(scenario())


def test_a_server_that_is_slow_makes_no_request_begin_later(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving() as server:
            found = await loaded(server, tmp_path / "record", Stream("slow", SLOW, 40))
            assert found == {OK: 40}
            results = read(tmp_path / "record")
            assert all(one.seconds >= 0.3 for one in results)
            due = sorted(one.due for one in results)
            # One request at a time would have taken twelve seconds.
            assert due[-1] - due[0] == pytest.approx(39 / 40, abs=0.02)

    asyncio.run(scenario())


def test_an_answer_that_doesn_t_come_in_time_is_a_failure(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving() as server:
            found = await loaded(server, tmp_path / "record", Stream("slow", SLOW, 10, timeout_seconds=0.1))
            assert found == {"timeout": 10}

    asyncio.run(scenario())


def test_nobody_listening_is_a_failure(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        load = Load(f"http://127.0.0.1:{taken.getsockname()[1]}", tmp_path / "record")
        asyncio.run(load.run([Stream("s", "/", 20)], 1.0))
    assert outcomes(tmp_path / "record") == {"no connection": 20}


def test_what_a_page_links_to_is_asked_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving() as server:
            page = Stream("page", "/page", 10, linked=r'(?:href|src)="(/static/[^"]+)"')
            await loaded(server, tmp_path / "record", page)
            assert server.requests == {"/page": 10, "/static/a.css": 10, "/static/b.js": 10}
            assert Counter(one.stream for one in read(tmp_path / "record")) == {"page": 10, "page, linked": 20}

    asyncio.run(scenario())


def test_an_end_from_outside_waits_for_what_is_under_way(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving() as server:
            load = Load(f"http://127.0.0.1:{server.port}", tmp_path / "record")
            asyncio.get_running_loop().call_later(0.5, load.end)
            await load.run([Stream("slow", SLOW, 50)], 60.0)
            assert outcomes(tmp_path / "record") == {OK: server.requests[SLOW]}
            assert 5 < server.requests[SLOW] < 25

    asyncio.run(scenario())


def test_a_line_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    record = tmp_path / "record"
    record.write_text("stream,due,seconds,outcome,late\na,1.0,0.5,ok,0.0\na,2.0,0.")
    assert [one.due for one in read(record)] == [1.0]
