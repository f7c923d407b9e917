"""The exchange with two pages beside it that a load needs, for a pod of a test: no image has this file.

/load-test/slow?seconds=5 answers after that time, /load-test/echo answers what it was sent.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

exchange = importlib.import_module("exchange.wsgi").application


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer a request."""
    path = environ["PATH_INFO"]
    if path == "/load-test/slow":
        seconds = float(parse_qs(environ["QUERY_STRING"])["seconds"][0])
        time.sleep(seconds)
        body = f"{seconds:g} seconds".encode()
    elif path == "/load-test/echo":
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    else:
        answer: Iterable[bytes] = exchange(environ, start_response)
        return answer
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
