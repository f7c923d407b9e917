"""A mail server on loopback that keeps what it gets, and misbehaves when it is told to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from types import TracebackType
from typing import Any, Self

from aiosmtpd.controller import Controller

from testing.server import free_port


@dataclass(frozen=True)
class Received:
    """A mail as it arrived."""

    sender: str
    recipients: Sequence[str]
    message: Message


class MailServer:
    """Runs in a thread of this process, in a context; stop() and start() may be called in between."""

    def __init__(self) -> None:
        """Choose a free port. `refusals` says which recipient is refused with which words."""
        self.port = free_port()
        self.received: list[Received] = []
        self.refusals: dict[str, str] = {}
        self._controller: Controller | None = None

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name and arguments
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        """Take a recipient, or don't."""
        refusal = self.refusals.get(address)
        if refusal is None:
            envelope.rcpt_tos.append(address)
        return refusal or "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a mail."""
        message = message_from_bytes(envelope.content)
        self.received.append(Received(envelope.mail_from, list(envelope.rcpt_tos), message))
        return "250 OK"

    def start(self) -> None:
        """Listen."""
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    def stop(self) -> None:
        """Hang up."""
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    def environment(self) -> dict[str, str]:
        """Return the variables that point the application here."""
        return {"EMAIL_HOST": "127.0.0.1", "EMAIL_PORT": str(self.port), "EMAIL_SECURITY": "none"}

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()
