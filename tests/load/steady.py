"""A load that doesn't slow down when its server does: requests begin at fixed moments, whatever became of others.

    PYTHONPATH=tests python -m load.steady --base-url https://exchange.example.com --address 192.0.2.1 \
        --ca-file ca.crt --streams streams.json --record record.csv --seconds 60

A stream is requests of one kind at a constant rate; streams.json is a list of them, with the fields of `Stream`.
Nothing is sent twice: aiohttp, as browsers and Go's client do, would send a GET again that got no answer on a used
connection, and hide that it was lost. A latency counts from the moment at which the request was due, so that whoever
makes the client wait pays for it. Each request is a line of the record as soon as it has ended. SIGINT ends the load;
requests under way are waited for.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import re
import signal
import socket
import ssl
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

FIELDS = ("stream", "due", "seconds", "outcome", "late")
OK = "ok"


@dataclass(frozen=True)
class Stream:
    """Requests of one kind.

    Attributes:
        name: what the record calls them.
        path: path and query.
        per_second: how many begin each second.
        method: GET, POST, ...
        keep_alive: on connections that are used again; otherwise on a new one each, closed after the answer.
        body: what is sent.
        headers: further headers.
        expected_status: any other counts as failed; redirects aren't followed.
        timeout_seconds: how long an answer may take.
        linked: a regular expression; what its first group finds in the answer is asked for as well, as the stream
            `<name>, linked`.
    """

    name: str
    path: str
    per_second: float
    method: str = "GET"
    keep_alive: bool = True
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    expected_status: int = 200
    timeout_seconds: float = 30.0
    linked: str = ""


@dataclass(frozen=True)
class Result:
    """A request that has ended: when it was due (Unix time), how long it took from then, how late it began."""

    stream: str
    due: float
    seconds: float
    outcome: str
    late: float


class OneAddress(AbstractResolver):
    """Finds every host at one address: a name need not be known to a name server."""

    def __init__(self, address: str) -> None:
        """Take the address."""
        self._address = address

    async def resolve(self, host: str, port: int = 0, family: Any = None) -> list[ResolveResult]:
        """Return the address."""
        del family
        kind = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        entry = {"hostname": host, "host": self._address, "port": port, "family": kind, "proto": 0, "flags": 0}
        return [ResolveResult(**entry)]  # type: ignore[typeddict-item]

    async def close(self) -> None:
        """Nothing to close."""


def outcome_of(error: BaseException) -> str:
    """Return what became of a request without an answer."""
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "no connection"
    if isinstance(error, (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)):
        return "dropped"
    return f"client: {type(error).__name__}"


class Load:
    """Streams towards one server."""

    def __init__(self, base_url: str, record: Path, *, address: str = "", ca_file: str = "") -> None:
        """Prepare; `address` is where the server is, whatever its name says, `ca_file` whom to trust instead."""
        parts = urlsplit(base_url)
        self._base = f"{parts.scheme}://{parts.netloc}"
        self._record = record
        self._address = address
        self._tls = ssl.create_default_context(cafile=ca_file or None)
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Begin no further request."""
        self._ending.set()

    async def run(self, streams: Sequence[Stream], seconds: float) -> None:
        """Send what is due within the time, and wait for the answers."""
        begin = time.monotonic() + 0.2
        with self._record.open("w", newline="", buffering=1) as file:
            self._rows = csv.writer(file)
            self._rows.writerow(FIELDS)
            async with asyncio.TaskGroup() as group:
                for number, stream in enumerate(streams):
                    # Not all at the same moments.
                    offset = number / len(streams) / stream.per_second
                    group.create_task(self._stream(stream, begin + offset, begin + seconds))

    async def _stream(self, stream: Stream, begin: float, end: float) -> None:
        connector = aiohttp.TCPConnector(
            limit=0,
            force_close=not stream.keep_alive,
            ssl=self._tls,
            **({"resolver": OneAddress(self._address)} if self._address else {}),  # type: ignore[arg-type]
        )
        timeout = aiohttp.ClientTimeout(total=stream.timeout_seconds)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            asyncio.TaskGroup() as requests,
        ):
            # aiohttp's own test client does the same; test_steady.py sees that nothing is sent twice.
            session._retry_connection = False  # noqa: SLF001
            number = 0
            while (due := begin + number / stream.per_second) < end:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), max(0.0, due - time.monotonic()))
                if self._ending.is_set():
                    return
                requests.create_task(self._request(session, stream, stream.name, stream.path, due))
                number += 1

    async def _request(self, session: aiohttp.ClientSession, stream: Stream, name: str, path: str, due: float) -> None:
        began = time.monotonic()
        text = ""
        try:
            async with session.request(
                stream.method,
                self._base + path,
                data=stream.body or None,
                headers=dict(stream.headers),
                allow_redirects=False,
            ) as answer:
                text = (await answer.read()).decode(errors="replace")
                outcome = OK if answer.status == stream.expected_status else f"status {answer.status}"
        except Exception as error:  # noqa: BLE001 - whatever it is, it is an outcome
            outcome = outcome_of(error)
        ended = time.monotonic()
        unix = time.time() - ended + due
        result = Result(name, round(unix, 4), round(ended - due, 4), outcome, round(began - due, 4))
        self._rows.writerow(asdict(result).values())
        if stream.linked and outcome == OK:
            for link in dict.fromkeys(re.findall(stream.linked, text)):
                plain = Stream(name, link, stream.per_second, keep_alive=stream.keep_alive)
                await self._request(session, plain, f"{stream.name}, linked", link, time.monotonic())


def read(record: Path) -> list[Result]:
    """Return what a record says so far; a line that is being written is left out."""
    text = record.read_text()
    rows = csv.DictReader(text[: text.rfind("\n") + 1].splitlines())
    return [
        Result(row["stream"], float(row["due"]), float(row["seconds"]), row["outcome"], float(row["late"]))
        for row in rows
    ]


async def _main(arguments: argparse.Namespace) -> None:
    streams = [Stream(**one) for one in json.loads(arguments.streams.read_text())]
    load = Load(arguments.base_url, arguments.record, address=arguments.address, ca_file=arguments.ca_file)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, load.end)
    await load.run(streams, arguments.seconds)


def main() -> int:
    """Run a load from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--address", default="", help="where the server is, whatever its name says")
    parser.add_argument("--ca-file", default="", help="PEM of whom to trust; default: the system's")
    parser.add_argument("--streams", type=Path, required=True)
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    asyncio.run(_main(parser.parse_args()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
