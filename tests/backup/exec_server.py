"""The part of a Kubernetes API server that runs a command in a pod, over a WebSocket: here it runs on this machine."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Final
from urllib.parse import parse_qs, urlparse

PROTOCOL: Final = "v4.channel.k8s.io"
GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
STDIN, STDOUT, STDERR, ERROR = range(4)
BINARY, CLOSE = 2, 8


@contextmanager
def serving(environment: dict[str, str]) -> Iterator[str]:
    """Serve one command after the other while the block runs; yields the server's address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, contextlib.suppress(OSError, EOFError):
                        _execute(connection, environment)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        # accept() doesn't end by itself when its socket is closed.
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def _execute(connection: socket.socket, environment: dict[str, str]) -> None:
    reader = connection.makefile("rb")
    request = reader.readline().split()[1].decode()
    headers = {}
    while line := reader.readline().strip().decode():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    accepted = base64.b64encode(hashlib.sha1((headers["sec-websocket-key"] + GUID).encode()).digest()).decode()  # noqa: S324
    answer = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    answer += [f"Sec-WebSocket-Accept: {accepted}", f"Sec-WebSocket-Protocol: {PROTOCOL}", "", ""]
    connection.sendall("\r\n".join(answer).encode())
    pipes: Any = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(parse_qs(urlparse(request).query)["command"], env=environment, **pipes) as process:
        lock = threading.Lock()

        def send(channel: int, data: bytes, opcode: int = BINARY) -> None:
            frame = bytes([channel]) + data if opcode == BINARY else data
            with lock:
                connection.sendall(struct.pack("!BBQ", 0x80 | opcode, 127, len(frame)) + frame)

        def pass_on(pipe: IO[bytes], channel: int) -> None:
            while data := pipe.read1(4096):  # type: ignore[attr-defined]
                send(channel, data)

        def feed() -> None:
            assert process.stdin
            with contextlib.suppress(OSError, EOFError), process.stdin:
                while True:
                    data = _frame(reader)
                    # What nobody reads any more is thrown away.
                    with contextlib.suppress(BrokenPipeError, ValueError):
                        process.stdin.write(data[1:])
                        process.stdin.flush()

        feeding = threading.Thread(target=feed, daemon=True)
        feeding.start()
        assert process.stdout
        assert process.stderr
        listening = [
            threading.Thread(target=pass_on, args=(process.stdout, STDOUT)),
            threading.Thread(target=pass_on, args=(process.stderr, STDERR)),
        ]
        for thread in listening:
            thread.start()
        for thread in listening:
            thread.join()
        code = process.wait()
        # What it hasn't read would be written once more as the pipe is closed.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()  # type: ignore[union-attr]
    causes = [{"reason": "ExitCode", "message": str(code)}]
    failed = {"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}}
    send(ERROR, json.dumps(failed if code else {"status": "Success"}).encode())
    send(0, struct.pack("!H", 1000), CLOSE)
    feeding.join(10)


def _frame(reader: IO[bytes]) -> bytes:
    """Return what a client's frame holds."""
    head = reader.read(2)
    if len(head) < 2 or head[0] & 0x0F == CLOSE:
        raise EOFError
    size = head[1] & 0x7F
    if size > 125:
        size = int.from_bytes(reader.read(2 if size == 126 else 8), "big")
    mask = int.from_bytes(reader.read(4) * (size // 4 + 1), "big")
    surplus = 4 - size % 4
    return (int.from_bytes(reader.read(size) + bytes(surplus), "big") ^ mask).to_bytes(size + surplus, "big")[:size]
