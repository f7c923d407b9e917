"""A command in a pod is fed to its end, with a connection that answers as a script says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import pods
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.pods import Pod, PodError
from kubernetes.client import ApiClient, ApiException


class _Connection:
    """What kubernetes.stream returns: what the command says comes at each look, and then it ends."""

    def __init__(self, said: list[tuple[bytes, bytes]], code: int | None, *, ends_after: int = 99) -> None:
        self.said, self.returncode, self.ends_after = list(said), code, ends_after
        self.given: list[bytes] = []
        self.out = self.err = b""

    def write_stdin(self, data: bytes) -> None:
        self.given.append(data)

    def update(self, timeout: float) -> None:
        del timeout
        if self.said:
            out, err = self.said.pop(0)
            self.out, self.err = self.out + out, self.err + err

    def is_open(self) -> bool:
        return bool(self.said) and len(self.given) < self.ends_after

    def peek_stdout(self) -> bytes:
        return self.out

    def peek_stderr(self) -> bytes:
        return self.err

    def read_stdout(self) -> bytes:
        found, self.out = self.out, b""
        return found

    def read_stderr(self) -> bytes:
        found, self.err = self.err, b""
        return found


@pytest.fixture
def pod(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Pod]:
    """Return a maker of a pod whose connection is given."""

    def make(connection: Any) -> Pod:
        def opened(*_: Any, **options: Any) -> Any:
            assert options["binary"] is True
            assert options["tty"] is False
            if isinstance(connection, Exception):
                raise connection
            return connection

        monkeypatch.setattr(pods, "stream", opened)
        return Pod(ApiClient(), "exchange", "media", "media")

    return make


def test_all_of_it_is_given_in_pieces_and_what_it_prints_comes_back(
    pod: Callable[[Any], Pod], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pods, "CHUNK_BYTES", 4)
    connection = _Connection([(b"on", b"one\ntw"), (b"e", b"o\n"), (b"", b""), (b"", b"")], 0)
    heard: list[str] = []
    assert pod(connection).run(["cat"], [b"123456789", b"0"], heard.append) == "one"
    assert connection.given == [b"1234", b"5678", b"9", b"0"]
    assert heard == ["one", "two"]


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        ([(b"", b"first\nno room\n")], 1, "cat in pod media ended with 1: no room"),
        ([(b"", b"no newline")], 2, "cat in pod media ended with 2: no newline"),
        ([(b"", b"")], 137, "cat in pod media ended with 137: it said nothing"),
        ([(b"half", b"")], None, "cat in pod media ended without an answer"),
    ],
)
def test_a_command_that_fails_is_told(
    pod: Callable[[Any], Pod], said: list[tuple[bytes, bytes]], code: int | None, words: str
) -> None:
    with pytest.raises(PodError, match=words):
        pod(_Connection(said, code)).run(["cat"], [b"1"])


def test_nothing_more_is_read_for_a_command_that_has_ended(pod: Callable[[Any], Pod]) -> None:
    read: list[int] = []

    def given() -> Iterator[bytes]:
        for number in range(100):
            read.append(number)
            yield b"x"

    with pytest.raises(PodError, match="ended with 1: no room"):
        pod(_Connection([(b"", b"no room\n")] * 50, 1, ends_after=3)).run(["cat"], given())
    assert len(read) == 3


@pytest.mark.parametrize("error", [ApiException(status=404, reason="Not Found"), OSError("broken"), BrokenPipeError()])
def test_a_connection_that_is_lost(pod: Callable[[Any], Pod], error: Exception) -> None:
    with pytest.raises(PodError, match="the connection to pod media was lost"):
        pod(error).run(["cat"], [])
