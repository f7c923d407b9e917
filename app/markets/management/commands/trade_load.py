"""Makes load over the HTTP API, and checks afterwards that everything that was acknowledged is there."""

from __future__ import annotations

import json
import re
import signal
import ssl
import sys
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.made_up import CustomersError, refuse_where_customers_are
from markets.load.client import Target
from markets.load.record import Record, read
from markets.load.report import Tally, table
from markets.load.traders import Trader, load, prepare, save
from markets.load.trading import Load, Plan, UnusableError
from markets.load.verify import RecordError, verify
from operations.arguments import number, whole

HOUR_SECONDS = 3600
DEFAULT_ORDERS = 1_000


def base_url(text: str) -> str:
    """Read an address such as https://exchange.example.com."""
    parts = urlsplit(text)
    try:
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and not parts.query and not parts.fragment
        _ = parts.port
    except ValueError:
        good = False
    if not good or parts.username:
        raise ArgumentTypeError(f"{text!r} is not an address such as https://exchange.example.com")
    return text.rstrip("/")


def header(text: str) -> tuple[str, str]:
    """Read a header such as `Host: exchange.example.com`."""
    found = re.fullmatch(r"([A-Za-z0-9-]+): *([\x20-\x7e]+)", text)
    if not found:
        raise ArgumentTypeError(f"{text!r} is not a header such as 'Host: exchange.example.com'")
    return found[1], found[2]


class Command(BaseCommand):
    """Three steps: prepare the traders, run the load, verify its record. `run` prepares by itself unless it is told."""

    help = (
        "Concurrent traders over the HTTP API, each order with its own idempotency key, sent again until it is known "
        "what became of it; then a check that everything that was acknowledged is there, once."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the steps."""
        steps = parser.add_subparsers(dest="step", required=True, title="steps")
        into = "the database's name, if it has real customers: made-up money will trade with theirs"

        first = steps.add_parser("prepare", help="make traders with money, and write their tokens into a file")
        first.add_argument("--tokens", type=Path, required=True, metavar="FILE", help="made, for its owner alone")
        first.add_argument("--traders", type=whole(1, 256), default=8, help="how many (8)")
        first.add_argument("--into", metavar="DATABASE", help=into)

        run = steps.add_parser("run", help="trade; exit code 1 if an order had to be given up")
        run.add_argument("--base-url", type=base_url, required=True, metavar="URL")
        run.add_argument(
            "--ca-file", type=Path, metavar="FILE", help="PEM of the CA that signed the server's certificate"
        )
        run.add_argument(
            "--address", metavar="IP", help="connect to it instead of looking the URL's name up; TLS asks for the name"
        )
        run.add_argument(
            "--header", type=header, action="append", default=[], help="sent with each request; repeatable"
        )
        run.add_argument(
            "--tokens", type=Path, metavar="FILE", help="made by prepare; without it traders are prepared now"
        )
        run.add_argument("--traders", type=whole(1, 256), help="how many: those of the file, or 8")
        run.add_argument("--into", metavar="DATABASE", help=into)
        run.add_argument(
            "--orders", type=whole(1, 10_000_000), help=f"how many (without --seconds: {DEFAULT_ORDERS:,})"
        )
        run.add_argument("--seconds", type=number(1, 24 * HOUR_SECONDS), help="for how long")
        run.add_argument(
            "--rate", type=number(0.1, 100_000), help="orders per second in all; without: as many as can be"
        )
        run.add_argument("--market", action="append", help="again for each (BTC-USDC and ETH-USDC)")
        run.add_argument("--seed", type=whole(0, 2**31), default=1, help="another number, other orders (1)")
        run.add_argument(
            "--timeout", type=number(0.1, 300), default=20.0, help="seconds until an answer is missed (20)"
        )
        run.add_argument(
            "--give-up-after", type=number(0, HOUR_SECONDS), default=120.0, help="seconds of trying one request (120)"
        )
        run.add_argument("--record", type=Path, metavar="FILE", help="a new file: every try and answer, as JSON lines")
        run.add_argument("--summary", type=Path, metavar="FILE", help="the summary as JSON")
        run.add_argument("--progress", action="store_true", help="a line each second on standard error")

        last = steps.add_parser(
            "verify", help="compare a record with the database; exit code 1 if something is missing"
        )
        last.add_argument("--record", type=Path, required=True, metavar="FILE")
        last.add_argument("--json", action="store_true", help="one JSON object instead of text")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Do one of the steps."""
        {"prepare": self._prepare, "run": self._run, "verify": self._verify}[options["step"]](options)

    def _prepare(self, options: dict[str, Any]) -> None:
        traders = self._make(options["traders"], options["into"])
        try:
            save(traders, options["tokens"])
        except OSError as error:
            raise CommandError(f"--tokens: {options['tokens']} can't be written: {error.strerror}") from None
        self.stdout.write(f"{len(traders)} traders, their tokens are in {options['tokens']}")

    def _make(self, count: int, into: str | None) -> list[Trader]:
        try:
            refuse_where_customers_are(into)
            return prepare(count)
        except CustomersError as error:
            raise CommandError(str(error)) from None

    def _run(self, options: dict[str, Any]) -> None:
        target = Target(
            options["base_url"], options["timeout"], self._tls(options), dict(options["header"]), options["address"]
        )
        orders, seconds = options["orders"], options["seconds"]
        plan = Plan(
            markets=options["market"] or ["BTC-USDC", "ETH-USDC"],
            orders=DEFAULT_ORDERS if orders is None and seconds is None else orders,
            seconds=seconds,
            orders_per_second=options["rate"],
            give_up_after_seconds=options["give_up_after"],
            seed=options["seed"],
        )
        traders = self._traders(options)
        try:
            record = Record(options["record"])
        except FileExistsError:
            raise CommandError(f"--record: {options['record']} exists; each load has a record of its own") from None
        except OSError as error:
            raise CommandError(f"--record: {options['record']} can't be written: {error.strerror}") from None
        running = Load(target, traders, plan, record)
        handlers = {name: signal.signal(name, lambda *_: running.stop()) for name in (signal.SIGINT, signal.SIGTERM)}
        try:
            running.run(self._show if options["progress"] else lambda _tally: None)
        except UnusableError as error:
            raise CommandError(str(error)) from None
        finally:
            record.close()
            for name, handler in handlers.items():
                signal.signal(name, handler)
        self._report(running.tally, options["summary"])

    def _tls(self, options: dict[str, Any]) -> ssl.SSLContext | None:
        if options["ca_file"] is None:
            return None
        if not options["base_url"].startswith("https:"):
            raise CommandError("--ca-file: --base-url isn't https")
        try:
            return ssl.create_default_context(cafile=options["ca_file"])
        except OSError as error:  # an SSLError is one too
            raise CommandError(f"--ca-file: {options['ca_file']} can't be used: {error.strerror or error}") from None

    def _traders(self, options: dict[str, Any]) -> list[Trader]:
        if options["tokens"] is None:
            return self._make(options["traders"] or 8, options["into"])
        try:
            traders = load(options["tokens"])
        except OSError as error:
            raise CommandError(f"--tokens: {options['tokens']} can't be read: {error.strerror}") from None
        except ValueError as error:
            raise CommandError(f"--tokens: {error}") from None
        count = options["traders"] or len(traders)
        if count > len(traders) or not traders:
            raise CommandError(f"--traders: {options['tokens']} has {len(traders)}")
        return traders[:count]

    def _show(self, tally: Tally) -> None:
        sys.stderr.write(tally.line() + "\n")
        sys.stderr.flush()

    def _report(self, tally: Tally, file: Path | None) -> None:
        summary = tally.summary()
        self.stdout.write(table(summary))
        self.stdout.write(json.dumps(summary))
        if file is not None:
            file.write_text(json.dumps(summary) + "\n", encoding="utf-8")
        given_up = summary["orders_given_up"] + summary["cancels_given_up"]
        if given_up:
            raise CommandError(f"{given_up} requests were given up")
        if not summary["orders_acknowledged"]:
            raise CommandError("no order was acknowledged")

    def _verify(self, options: dict[str, Any]) -> None:
        path = options["record"]
        try:
            verdict = verify(read(path))
        except OSError as error:
            raise CommandError(f"--record: {path} can't be read: {error.strerror}") from None
        except (RecordError, ValueError, KeyError) as error:
            raise CommandError(f"--record: {path} is not the record of a load: {error}") from None
        counts = dict(verdict.counts)
        if options["json"]:
            report = {"ok": not verdict.problems, "problems": verdict.problems, "counts": counts}
            self.stdout.write(json.dumps(report))
        else:
            for problem in verdict.problems:
                self.stdout.write(f"WRONG: {problem}")
            text = ", ".join(f"{count} {name}" for name, count in counts.items())
            self.stdout.write(f"{len(verdict.problems)} problems; {text}")
        if verdict.problems:
            sys.exit(1)
