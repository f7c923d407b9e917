"""Serves Prometheus metrics of all worker processes on a port of their own."""

from __future__ import annotations

import socket
import threading
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.multiprocess import MultiProcessCollector


class MetricsServer(ThreadingMixIn, WSGIServer):
    """A small HTTP server that shares its port with those of the other workers.

    Each worker listens with SO_REUSEPORT and can answer for all of them, since their values lie in files that every
    one can read. So there is no extra process to look after, and no thread in gunicorn's master, which forks.
    """

    daemon_threads = True
    allow_reuse_port = True
    request_queue_size = 16

    def __init__(self, address: tuple[str, int]) -> None:
        """Bind to the address; an IPv6 one takes IPv4 as well."""
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, SilentHandler)

    def server_bind(self) -> None:
        """Share the port; Python sets it by itself from 3.12 on only."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()


class SilentHandler(WSGIRequestHandler):
    """Keeps scrapes out of the log."""

    timeout = 10  # seconds a client may take for its request

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        """Say nothing."""


def start(host: str, port: int) -> MetricsServer:
    """Serve the metrics in a thread of this process, from the files in PROMETHEUS_MULTIPROC_DIR."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    server = MetricsServer((host, port))
    server.set_app(make_wsgi_app(registry))
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
