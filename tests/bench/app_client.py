"""Clients of the exchange's API for tests/bench/app.py: `python app_client.py`, a plan as JSON on standard input.

Each client is a thread with one connection that sends one order after the other, by hand over a socket: the machine's
cores are for the exchange. It says `ready`, waits for a line, and prints what came of it as JSON.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Client:
    """One customer."""

    port: int
    token: str
    market: str
    side: str
    quantity: str
    price: str
    seconds: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    acknowledged: list[int] = field(default_factory=list)
    filled_at_once: int = 0

    def run(self, until: float) -> None:
        """Send orders until a moment of the monotonic clock."""
        body = json.dumps(
            {"market": self.market, "side": self.side, "quantity": self.quantity, "price": self.price}
        ).encode()
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream = connection.makefile("rb")
            while time.monotonic() < until:
                begun = time.monotonic()
                connection.sendall(self._head(len(body)) + body)
                status, answer = read_answer(stream)
                self.seconds.append(time.monotonic() - begun)
                self.statuses[status] = self.statuses.get(status, 0) + 1
                if status == "201":
                    order = json.loads(answer)
                    self.acknowledged.append(order["id"])
                    self.filled_at_once += bool(order["trades"])

    def _head(self, length: int) -> bytes:
        return (
            f"POST /api/v1/orders HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self.token}\r\n"
            f"Idempotency-Key: {uuid.uuid4()}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        ).encode()


def read_answer(stream: Any) -> tuple[str, bytes]:
    """Return status and body."""
    status = stream.readline().split(b" ", 2)[1].decode()
    length = 0
    while (line := stream.readline()) not in {b"\r\n", b""}:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return status, stream.read(length)


def main() -> None:
    """Run the clients of one process."""
    plan = json.loads(sys.stdin.readline())
    clients = [Client(**row) for row in plan["clients"]]
    print("ready", flush=True)
    sys.stdin.readline()
    until = time.monotonic() + plan["seconds"]
    threads = [threading.Thread(target=client.run, args=[until]) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(
        json.dumps(
            [
                {
                    "seconds": client.seconds,
                    "statuses": client.statuses,
                    "acknowledged": client.acknowledged,
                    "filled_at_once": client.filled_at_once,
                }
                for client in clients
            ]
        )
    )


if __name__ == "__main__":
    main()
