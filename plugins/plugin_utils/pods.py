"""Run a command in a pod and write to its standard input, however much that is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from kubernetes.client import ApiClient, ApiException, CoreV1Api
from kubernetes.stream import stream
from urllib3.exceptions import HTTPError
from websocket import WebSocketException

# One frame each; what is held in memory.
CHUNK_BYTES = 1 << 20
LINES_KEPT = 12
BROKEN = (ApiException, HTTPError, WebSocketException, OSError)


class PodError(Exception):
    """The command did not do what it should; the message says what it said last."""


class Pod:
    """A container of a pod, through the API server."""

    def __init__(self, client: ApiClient, namespace: str, name: str, container: str) -> None:
        """Remember which."""
        # stream() changes its client while a command runs.
        own = ApiClient(configuration=client.configuration)
        own.default_headers.update(client.default_headers)
        self.core, self.namespace, self.name, self.container = CoreV1Api(own), namespace, name, container

    def run(self, command: list[str], given: Iterable[bytes], say: Callable[[str], None] | None = None) -> str:
        """Run a command to its end and return what it printed.

        Args:
            command: reads its standard input as far as it knows that it goes: there is no way to end it from here.
            given: what it reads.
            say: takes each line of its standard error as it comes.

        Raises:
            PodError: it failed, or the connection was lost.
        """
        said = None
        try:
            connection = stream(
                self.core.connect_get_namespaced_pod_exec, self.name, self.namespace, container=self.container,
                command=command, stdin=True, stdout=True, stderr=True, tty=False, binary=True, _preload_content=False,
            )  # fmt: skip
            said = Said(connection, say)
            for piece in given:
                for start in range(0, len(piece), CHUNK_BYTES):
                    connection.write_stdin(piece[start : start + CHUNK_BYTES])
                said.hear(0)
                if not connection.is_open():
                    break
            while connection.is_open():
                said.hear(1)
            said.hear(0)
            code = connection.returncode
        except BROKEN as error:
            last = f", after it had said: {said.last()}" if said and said.last() else ""
            raise PodError(f"the connection to pod {self.name} was lost ({error}){last}: run it again") from error
        if code != 0:
            how = f"ended with {code}" if code is not None else "ended without an answer"
            raise PodError(f"{command[0]} in pod {self.name} {how}: {said.last() or 'it said nothing'}")
        return said.printed.decode()


class Said:
    """What a command says while it runs."""

    def __init__(self, connection: Any, say: Callable[[str], None] | None) -> None:
        """Begin to listen."""
        self.connection, self.say = connection, say or (lambda _: None)
        self.printed, self.rest, self.lines = b"", b"", list[str]()

    def hear(self, seconds: float) -> None:
        """Take what has come, or comes within so many seconds."""
        self.connection.update(timeout=seconds)
        if self.connection.peek_stdout():
            self.printed += self.connection.read_stdout()
        if self.connection.peek_stderr():
            *lines, self.rest = (self.rest + self.connection.read_stderr()).split(b"\n")
            for line in lines:
                self.lines = [*self.lines, line.decode(errors="replace")][-LINES_KEPT:]
                self.say(self.lines[-1])

    def last(self) -> str:
        """Return the last thing that it said."""
        return self.rest.decode(errors="replace") or (self.lines[-1] if self.lines else "")
