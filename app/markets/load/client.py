"""One trader's connection to the API, kept alive."""

from __future__ import annotations

import http.client
import json
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
            address, timeout = urlsplit(self.target.base_url), self.target.timeout_seconds
            if address.scheme == "https":
                tls = self.target.tls or ssl.create_default_context()
                self._connection = http.client.HTTPSConnection(address.netloc, timeout=timeout, context=tls)
            else:
                self._connection = http.client.HTTPConnection(address.netloc, timeout=timeout)
        return self._connection

    def _path(self, path: str) -> str:
        return f"{urlsplit(self.target.base_url).path.rstrip('/')}{API}{path}"


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
