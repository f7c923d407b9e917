"""A small S3 over real HTTP: it keeps objects in memory, and shows what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

MISSING: Final = b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code><Message>none</Message></Error>"


class S3(ThreadingHTTPServer):
    """Objects by path, and the requests that came."""

    def __init__(self) -> None:
        """Listen on a free port."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, tuple[bytes, str]] = {}
        self.requests: list[tuple[str, str, str]] = []

    @property
    def address(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """PUT, GET, HEAD and DELETE of an object."""

    server: S3

    def _answer(self, status: int, body: bytes = b"", content_type: str = "application/xml") -> None:
        self.server.requests.append((self.command, self.path, self.headers.get("Authorization", "")))
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Sun, 01 Mar 2026 12:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_PUT(self) -> None:
        """Keep an object."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.objects[self.path] = (body, self.headers.get("Content-Type", ""))
        self._answer(200)

    def do_GET(self) -> None:
        """Return an object."""
        if self.path in self.server.objects:
            self._answer(200, *self.server.objects[self.path])
        else:
            self._answer(404, MISSING)

    do_HEAD = do_GET  # noqa: N815 - the base class asks for it

    def do_DELETE(self) -> None:
        """Remove an object."""
        self.server.objects.pop(self.path, None)
        self._answer(204)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        """Say nothing."""


@contextmanager
def running_s3() -> Iterator[S3]:
    """Run one."""
    with S3() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
