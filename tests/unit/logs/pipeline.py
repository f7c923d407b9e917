"""The collector and Loki as the role configures them, as processes on loopback, with files as a node has them.

What looks up the labels of pods is left out: it needs a cluster.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.log_canary import Line, Loki
from cluster import gobuild
from testing.server import free_port
from unit.templates.render import render

START_SECONDS = 60
NODE = "worker"


def configuration(name: str, chosen: str = "minimal") -> dict[str, Any]:
    """Return the configuration that a set of variables makes: of `loki`, or of the `collector`."""
    config_map = next(
        item
        for item in render("loki", chosen).objects
        if item["kind"] == "ConfigMap" and item["metadata"]["name"] == name
    )
    (text,) = config_map["data"].values()
    read: dict[str, Any] = yaml.safe_load(text)
    return read


def program(name: str, file: str) -> Path:
    """Return a program, built from its Go module unless the cache has it."""
    return gobuild.build(gobuild.programs()[name]) / file


class Local(Loki):
    """Loki's API, without a cluster between."""

    def __init__(self, port: int) -> None:
        """Remember where."""
        self.port = port

    def get(self, path: str, **parameters: Any) -> Any:
        """Return the data of an answer."""
        return self.answered(HTTPConnection("127.0.0.1", self.port, timeout=10), path, parameters)


class Process:
    """A program that is started, killed and started again."""

    def __init__(self, command: list[str | Path], log: Path, ready: Callable[[], bool]) -> None:
        """Start it."""
        self.command, self.log, self.ready = command, log, ready
        self.start()

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, env={**os.environ, "NODE_NAME": NODE})
        deadline = time.monotonic() + START_SECONDS
        while not self.ready():
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.1)

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it as Kubernetes does."""
        self.process.terminate()
        self.process.wait(30)


def answers(port: int, path: str) -> bool:
    """Say whether a program is ready."""
    try:
        connection = HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False


class Pipeline:
    """A node's files, a collector and Loki."""

    def __init__(self, folder: Path) -> None:
        """Make folders and start both."""
        self.folder, self.pods = folder, folder / "pods"
        for made in ("pods", "state", "loki"):
            (folder / made).mkdir()
        self.port, self.health, self.figures = free_port(), free_port(), free_port()
        self.api = Local(self.port)
        self.loki = Process(
            [program("loki", "loki"), f"-config.file={self._loki()}"],
            folder / "loki.log",
            lambda: answers(self.port, "/ready"),
        )
        self.collector = Process(
            [
                program("collector", "otelcol-contrib"),
                f"--config={self._collector()}",
                "--feature-gates=stanza.synchronousLogEmitter",
            ],
            folder / "collector.log",
            lambda: answers(self.health, "/"),
        )

    def _loki(self) -> Path:
        told = configuration("loki")
        told["server"] |= {"http_listen_address": "127.0.0.1", "http_listen_port": self.port, "grpc_listen_port": 0}
        text = yaml.safe_dump(told).replace("/loki", str(self.folder / "loki"))
        (self.folder / "loki.yml").write_text(text)
        return self.folder / "loki.yml"

    def _collector(self) -> Path:
        told = configuration("collector")
        del told["processors"]["k8sattributes"]
        told["service"]["pipelines"]["logs"]["processors"].remove("k8sattributes")
        told["extensions"]["health_check"]["endpoint"] = f"127.0.0.1:{self.health}"
        told["exporters"]["otlphttp"]["endpoint"] = f"http://127.0.0.1:{self.port}/otlp"
        (reader,) = told["service"]["telemetry"]["metrics"]["readers"]
        reader["pull"]["exporter"]["prometheus"] |= {"host": "127.0.0.1", "port": self.figures}
        text = yaml.safe_dump(told).replace("/var/log/pods", str(self.pods))
        text = text.replace("/var/lib/collector", str(self.folder / "state"))
        (self.folder / "collector.yml").write_text(text)
        return self.folder / "collector.yml"

    def file(self, pod: str = "web-1", namespace: str = "exchange", container: str = "web") -> Path:
        """Return the file of a container's output."""
        folder = self.pods / f"{namespace}_{pod}_0b1a-2c" / container
        folder.mkdir(parents=True, exist_ok=True)
        return folder / "0.log"

    def write(self, *lines: str, stream: str = "stdout", tag: str = "F", file: Path | None = None) -> None:
        """Write lines as the container runtime does."""
        with (file or self.file()).open("a") as written:
            for line in lines:
                written.write(f"{now()} {stream} {tag} {line}\n")

    def read(self, query: str = '{namespace="exchange"}') -> list[Line]:
        """Return what Loki has."""
        return self.api.lines(query, time.time() - 3600, time.time() + 60)

    def eventually(self, check: Callable[[list[str]], bool], query: str = '{namespace="exchange"}') -> list[str]:
        """Return Loki's lines as soon as a check likes them."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            found = [text for _, text in self.read(query)]
            if check(found):
                return found
            assert time.monotonic() < deadline, (found, self.collector.log.read_text()[-3000:])
            time.sleep(0.2)

    def labels(self, query: str) -> dict[str, str]:
        """Return labels and structured metadata of the one stream that a query finds."""
        data = self.api.get("/loki/api/v1/query_range", query=query, since="1h")
        (stream,) = data["result"]
        found: dict[str, str] = stream["stream"]
        return found

    def close(self) -> None:
        """End both."""
        for process in (self.collector, self.loki):
            if process.process.poll() is None:
                process.kill()


def now() -> str:
    """Return the time as the container runtime writes it."""
    nanoseconds = time.time_ns()
    seconds = datetime.fromtimestamp(nanoseconds // 10**9, UTC)
    return f"{seconds:%Y-%m-%dT%H:%M:%S}.{nanoseconds % 10**9:09d}Z"
