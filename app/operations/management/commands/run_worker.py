"""The worker: candles, mail, and forgetting what is old."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from django.contrib.sessions.backends.db import SessionStore
from django.core.management.base import BaseCommand, CommandError, CommandParser
from prometheus_client import start_http_server

from api.idempotency import forget_old_answers
from exchange.environment import Environment, EnvironmentErrors
from markets.candles import make_candles
from operations.arguments import number
from operations.worker import Job, Worker
from outbox.delivery import MailServerUnreachableError, forget_old_mails, send_mails

HOUR_SECONDS = 3600.0
# Longer than any client goes on trying; orders and transfers know their keys for ever.
KEEP_ANSWERS_DAYS = 30


class Command(BaseCommand):
    """Does background work until it is told to stop (SIGTERM), or once."""

    help = (
        "Make candles, send mail, forget what is old. Several may run: one works, the others wait to take over. "
        "METRICS_PORT: serve Prometheus metrics there."
    )

    # Addresses and pages are none of its business.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options."""
        parser.add_argument("--once", action="store_true", help="do each job once and end; exit code 1 if one failed")
        parser.add_argument(
            "--interval", type=number(0.05, 60), default=1.0, metavar="SECONDS", help="pause between turns (1)"
        )
        parser.add_argument("--heartbeat", type=Path, metavar="FILE", help="a file to touch at each turn")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Run the worker."""
        interval, heartbeat = options["interval"], options["heartbeat"]
        if heartbeat is not None and not heartbeat.parent.is_dir():
            raise CommandError(f"--heartbeat: there is no folder {heartbeat.parent}")
        worker = Worker(
            [
                Job("candles", make_candles, interval),
                Job("mail", send_mails, interval, expected=(MailServerUnreachableError,)),
                Job("old answers", lambda _stop: forget_old_answers(KEEP_ANSWERS_DAYS), HOUR_SECONDS),
                Job("old sessions", lambda _stop: SessionStore.clear_expired(), HOUR_SECONDS),
                Job("old mails", lambda _stop: forget_old_mails(), HOUR_SECONDS),
            ],
            interval,
            heartbeat,
        )
        if options["once"]:
            if not worker.run_once():
                raise CommandError("not every job went well; the log says more")
            return
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: worker.stop())
        self._serve_metrics()
        worker.run()

    def _serve_metrics(self) -> None:
        env = Environment(os.environ)
        host = env.text("HTTP_HOST", "0.0.0.0", pattern=r"[0-9a-fA-F.:]+", allowed="an IP address to listen on")  # noqa: S104
        port = env.integer("METRICS_PORT", 0, minimum=0, maximum=65_535)
        try:
            env.check()
        except EnvironmentErrors as error:
            raise CommandError(str(error)) from None
        if port:
            try:
                start_http_server(port, host)
            except OSError as error:
                raise CommandError(f"METRICS_PORT {port} can't be listened on: {error.strerror}") from None
