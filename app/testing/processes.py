"""Real processes of the application: manage.py, and gunicorn with its workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from testing.server import free_port

APP = Path(__file__).resolve().parent.parent
SECRET_KEY = "only-for-tests-" + "0123456789" * 5


def environment(database: Mapping[str, str]) -> dict[str, str]:
    """Return a whole environment of the application, over plain HTTP."""
    return {
        "PATH": os.environ["PATH"],
        "SECRET_KEY": SECRET_KEY,
        "ALLOWED_HOSTS": "127.0.0.1",
        "HTTPS_ONLY": "false",
        "TRUSTED_PROXY_COUNT": "0",
        **database,
    }


def manage(
    variables: Mapping[str, str], *arguments: str, timeout_seconds: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a command of manage.py and return what it said."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=APP,
        env=dict(variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_seconds,
    )


class WorkerProcess:
    """`manage.py run_worker`, in a context."""

    def __init__(self, variables: Mapping[str, str], *arguments: str) -> None:
        """Choose a port and files of its own."""
        self.folder = tempfile.TemporaryDirectory(prefix="exchange-worker-")
        self.log_file, self.heartbeat = Path(self.folder.name) / "log", Path(self.folder.name) / "heartbeat"
        self.metrics_port = free_port()
        self.variables = {**variables, "METRICS_PORT": str(self.metrics_port), "HTTP_HOST": "127.0.0.1"}
        self.arguments = ("--interval", "0.1", "--heartbeat", str(self.heartbeat), *arguments)

    def __enter__(self) -> Self:
        """Start, and wait for its first turn."""
        self.start()
        return self

    def start(self) -> None:
        """Start, and wait for its first turn."""
        self.heartbeat.unlink(missing_ok=True)
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "run_worker", *self.arguments],
                cwd=APP,
                env=self.variables,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + 30
        while not self.heartbeat.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the worker did not come up:\n{self.log_file.read_text()}")
            time.sleep(0.02)

    def kill(self) -> None:
        """End it without a warning."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        """Ask it to stop, as Kubernetes does, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        """Stop it for good."""
        if self.process.poll() is None:
            self.kill()
        self.folder.cleanup()

    def metrics(self) -> dict[str, float]:
        """Return what Prometheus would scrape: value by name and labels."""
        address = f"http://127.0.0.1:{self.metrics_port}/metrics"
        with urllib.request.urlopen(address, timeout=10) as answer:
            lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def logs(self) -> list[dict[str, Any]]:
        """Return the log so far; every line must be a JSON object."""
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]


@dataclass(frozen=True)
class Answer:
    """What came back over HTTP."""

    status: int
    headers: Mapping[str, str]
    body: str


class Gunicorn:
    """gunicorn with the project's own configuration, in a context."""

    def __init__(self, variables: Mapping[str, str], *, settings: str = "testing.served") -> None:
        """Choose free ports."""
        self.port, self.metrics_port = free_port(), free_port()
        self.folder = tempfile.TemporaryDirectory(prefix="exchange-gunicorn-")
        self.log_file = Path(self.folder.name) / "log"
        self.variables = {
            **variables,
            "DJANGO_SETTINGS_MODULE": settings,
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": str(self.port),
            "METRICS_PORT": str(self.metrics_port),
            "PROMETHEUS_MULTIPROC_DIR": f"{self.folder.name}/metrics",
        }

    def __enter__(self) -> Self:
        """Start, and wait until it answers."""
        self.start()
        return self

    def start(self) -> None:
        """Start, and wait until it answers."""
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "--config", "gunicorn.conf.py"],
                cwd=APP,
                env=self.variables,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                if self.get("/healthz").status == 200:
                    return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.process.kill()
                    self.process.wait()
                    log_text = self.log_file.read_text()
                    self.folder.cleanup()
                    raise RuntimeError(f"gunicorn did not come up:\n{log_text}") from None
                time.sleep(0.05)

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        """Stop it for good."""
        if self.process.poll() is None:
            self.terminate()
        self.folder.cleanup()

    def kill(self) -> None:
        """End it and all its workers without a warning."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def terminate(self) -> int:
        """Ask it to stop, as Kubernetes does, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40)

    def get(self, path: str, headers: Mapping[str, str] | None = None, port: int | None = None) -> Answer:
        """Send a GET request; redirects are followed."""
        return self.send("GET", path, headers, port=port)

    def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        port: int | None = None,
    ) -> Answer:
        """Send a request."""
        address = f"http://127.0.0.1:{port or self.port}{path}"
        request = urllib.request.Request(address, body, dict(headers or {}), method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own address
                return Answer(answer.status, dict(answer.headers), answer.read().decode())
        except urllib.error.HTTPError as error:
            return Answer(error.code, dict(error.headers), error.read().decode())

    def metrics(self) -> str:
        """Return what Prometheus would scrape."""
        return self.get("/metrics", port=self.metrics_port).body

    def logs(self) -> list[dict[str, Any]]:
        """Return the log so far; every line must be a JSON object."""
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]
