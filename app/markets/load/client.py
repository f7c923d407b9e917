"""One trader's connection to the API, kept alive."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

API: Final = "/api/v1"
# Nobody knows whether these did anything: the same request may be sent again with the same key.
PASSING: Final = frozenset({429, 502, 503, 504})


class DroppedError(Exception):
    """No answer came: nobody knows whether the request did anything. `kind` is a word to count it by."""

    def __init__(self, kind: str, message: str) -> None:
        """Keep what happened."""
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]  # names in small letters
    body: Any  # JSON; None if it is something else
    seconds: float

    @property
    def retry_after_seconds(self) -> float | None:
        """How long the server asks to wait."""
        text = self.headers.get("retry-after", "")
        return float(text) if text.isdigit() else None


@dataclass(frozen=True)
class Target:
    """Where the API is, and how it is reached."""

    base_url: str
    timeout_seconds: float = 20.0
    tls: ssl.SSLContext | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    address: str | None = None  # where to connect to, instead of looking the name up


class Plain(http.client.HTTPConnection):
    """A connection to an address, in the name of a host."""

    address: str

    def connect(self) -> None:
        """Connect."""
        self.sock = connected(self.address, self.port, self.timeout)


class Secured(http.client.HTTPSConnection):
    """The same with TLS; the certificate must be the host's."""

    address: str
    tls: ssl.SSLContext

    def connect(self) -> None:
        """Connect and shake hands."""
        line = connected(self.address, self.port, self.timeout)
        self.sock = self.tls.wrap_socket(line, server_hostname=self.host)


def connected(address: str, port: int, timeout: float | None) -> socket.socket:
    """Return a connection on which a request's last bytes don't wait for the answer to its first."""
    line = socket.create_connection((address, port), timeout)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return line


class Client:
    """Sends requests one after the other. A connection that fails is replaced at the next one."""

    def __init__(self, target: Target, token: str | None = None) -> None:
        """Connect later."""
        self.target = target
        self._headers = {"Accept": "application/json", "User-Agent": "trade_load", **target.headers}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._connection: http.client.HTTPConnection | None = None

    def send(self, method: str, path: str, body: object = None, key: str | None = None) -> Reply:
        """Send a request and return what comes back.

        Raises:
            DroppedError: no whole answer came.
        """
        headers = dict(self._headers)
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        if key is not None:
            headers["Idempotency-Key"] = key
        started = time.monotonic()
        try:
            connection = self._connect()
            connection.request(method, self._path(path), content, headers)
            answer = connection.getresponse()
            text = answer.read()
        except TimeoutError as error:
            self.close()
            raise DroppedError("timeout", str(error)) from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise DroppedError("dropped", f"{type(error).__name__}: {error}") from error
        names = {name.lower(): value for name, value in answer.getheaders()}
        if answer.will_close:
            self.close()
        return Reply(answer.status, names, _json(text), time.monotonic() - started)

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> http.client.HTTPConnection:
        if self._connection is None:
            url, timeout = urlsplit(self.target.base_url), self.target.timeout_seconds
            connection: Plain | Secured
            if url.scheme == "https":
                connection = Secured(url.netloc, timeout=timeout)
                connection.tls = self.target.tls or ssl.create_default_context()
            else:
                connection = Plain(url.netloc, timeout=timeout)
            connection.address = self.target.address or connection.host
            self._connection = connection
        return self._connection

    def _path(self, path: str) -> str:
        return f"{urlsplit(self.target.base_url).path.rstrip('/')}{API}{path}"


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
