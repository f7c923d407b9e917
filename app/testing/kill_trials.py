"""What survives when things are killed under load: `python -m testing.kill_trials --trials 50 --seed 1`.

A real gunicorn with two workers, a real worker process and a durable PostgreSQL serve a load of traders. At a random
moment of each trial one thing is done to them:

- app: gunicorn, its workers and the worker process get SIGKILL and are started again
- connections: the database ends all of the application's connections
- backend: one of the database's processes gets SIGKILL, upon which PostgreSQL restarts all and recovers
- server: PostgreSQL is stopped at once, without finishing anything, and started again

After the load has come to its end, every order that was acknowledged must be there exactly once, as it was
acknowledged, no request may have been given up, and the books must balance. Each trial is a line of JSON in a file of
results; run again with the same file and seed, it goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any, Final

import django

from testing.processes import Gunicorn, WorkerProcess, environment, manage
from testing.server import Server

Result = dict[str, Any]
KINDS: Final = ("app", "server", "connections", "backend")
DURABLE: Final = {"max_connections": "60"}
# Commits that are acknowledged before they are written: what is lost by it must be found.
LOSSY: Final = {
    **DURABLE,
    "synchronous_commit": "off",
    "wal_writer_delay": "10s",
    "wal_writer_flush_after": "1GB",
}


class Stage:
    """Everything that runs, and what can be done to it."""

    def __init__(self, stack: ExitStack, settings: Mapping[str, str]) -> None:
        """Start it, and point this process's Django at the same database."""
        self.database = Server(settings)
        stack.callback(self.database.remove)
        # The load waits no longer than a second for a server that is busy recovering.
        variables = environment(self.database.environment()) | {"LOG_LEVEL": "WARNING", "RETRY_AFTER_SECONDS": "1"}
        done = manage(variables, "migrate")
        assert done.returncode == 0, done.stderr
        os.environ.update(variables | {"DJANGO_SETTINGS_MODULE": "exchange.settings"})
        django.setup()
        self.web = stack.enter_context(Gunicorn(variables | {"WEB_CONCURRENCY": "2"}))
        self.worker = stack.enter_context(WorkerProcess(variables))
        self.deeds: Mapping[str, Callable[[Random], None]] = {
            "app": self._kill_app,
            "connections": self._drop_connections,
            "backend": self._kill_backend,
            "server": self._crash_server,
        }

    def repeated(self) -> int:
        """Return how many requests the application has done once more by itself: its clients saw nothing of these."""
        return sum(line["event"] == "request_repeated" for line in self.web.logs())

    def _kill_app(self, chance: Random) -> None:
        self.web.kill()
        self.worker.kill()
        time.sleep(chance.uniform(0, 0.5))
        self.web.start()
        self.worker.start()

    def _backends(self) -> list[int]:
        from django.db import connection  # noqa: PLC0415 - after django.setup()

        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'exchange' AND pid <> pg_backend_pid()"
            )
            return [row[0] for row in cursor.fetchall()]

    def _drop_connections(self, _chance: Random) -> None:
        from django.db import connection  # noqa: PLC0415

        with connection.cursor() as cursor:
            cursor.execute("SELECT count(pg_terminate_backend(pid)) FROM unnest(%s) pid", [self._backends()])

    def _kill_backend(self, chance: Random) -> None:
        os.kill(chance.choice(self._backends()), signal.SIGKILL)

    def _crash_server(self, chance: Random) -> None:
        self.database.stop()
        time.sleep(chance.uniform(0, 0.5))
        self.database.start()


def trial(stage: Stage, number: int, options: argparse.Namespace) -> Result:
    """Make load, do one thing at a random moment, and look at what is left."""
    from django.db import connection  # noqa: PLC0415

    from ledger.checks import violations  # noqa: PLC0415
    from markets.load.client import Target  # noqa: PLC0415
    from markets.load.record import Record, read  # noqa: PLC0415
    from markets.load.traders import prepare  # noqa: PLC0415
    from markets.load.trading import Load, Plan  # noqa: PLC0415
    from markets.load.verify import verify  # noqa: PLC0415

    seconds = options.seconds
    chance = Random(f"{options.seed}-{number}")  # noqa: S311 - repeatable on purpose
    kind = options.kind[(number - 1) % len(options.kind)]
    moment = chance.uniform(0.1, seconds * 0.6)
    plan = Plan(["BTC-USDC", "ETH-USDC"], None, seconds, None, give_up_after_seconds=120, seed=number)
    with tempfile.TemporaryDirectory(prefix="exchange-trial-") as folder:
        path = Path(folder) / "record"
        record = Record(path)
        load = Load(Target(f"http://127.0.0.1:{stage.web.port}"), prepare(options.traders), plan, record)
        running = threading.Thread(target=load.run)
        running.start()
        while not load.tally.acknowledged():
            assert running.is_alive(), "the load did not begin"
            time.sleep(0.02)
        time.sleep(moment)
        before = load.tally.acknowledged()
        repeated_before = stage.repeated()
        started = time.monotonic()
        stage.deeds[kind](chance)
        deed_seconds = time.monotonic() - started
        running.join()
        record.close()
        # This process's own connection may have been ended too.
        connection.close()
        verdict = verify(read(path))
    without_candle = wait_for_candles()
    summary = load.tally.summary()
    return {
        "trial": number,
        "seed": options.seed,
        "kind": kind,
        "after_seconds": round(moment, 2),
        "deed_seconds": round(deed_seconds, 2),
        "acknowledged_before": before,
        "acknowledged": verdict.counts["acknowledged"],
        "first_tries_failed": summary["first_tries_failed"],
        "later_tries_failed": summary["later_tries_failed"],
        "repeated_by_app": stage.repeated() - repeated_before,
        "answers_replayed": summary["answers_replayed"],
        "given_up": summary["orders_given_up"] + summary["cancels_given_up"],
        "refused": summary["refused"],
        "longest_gap_seconds": summary["longest_gap_seconds"],
        "problems": verdict.problems,
        "violations": [f"{item.invariant}: {item.detail}" for item in violations()],
        "trades_without_candle": without_candle,
        "worker_runs": stage.worker.process.poll() is None,
    }


def wait_for_candles() -> int:
    """Give the worker ten seconds to put every trade into a candle, and return how many are in none."""
    from django.db.models import Sum  # noqa: PLC0415 - after django.setup()

    from markets.models import Candle, Trade  # noqa: PLC0415

    deadline = time.monotonic() + 10
    while missing := Trade.objects.count() - (Candle.objects.aggregate(total=Sum("trades"))["total"] or 0):
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return missing


def is_good(result: Result) -> bool:
    """Say whether nothing was lost, doubled or given up, the books balance and the load really went on."""
    return bool(
        not result["problems"]
        and not result["violations"]
        and not result["given_up"]
        and not result["trades_without_candle"]
        and result["worker_runs"]
        and 0 < result["acknowledged_before"] < result["acknowledged"]
        and all("409 order-closed" in what for what in result["refused"])
    )


def table(results: list[Result]) -> str:
    """Write what came of the trials, by what was done."""
    lines = [
        "done to        trials  orders  failed tries  replayed  longest gap  lost or doubled  violations  given up"
    ]
    for kind in sorted({result["kind"] for result in results}):
        found = [result for result in results if result["kind"] == kind]
        failed = sum(
            sum(result[name].values()) for result in found for name in ("first_tries_failed", "later_tries_failed")
        )
        lines.append(
            f"{kind:<14} {len(found):>6} {sum(result['acknowledged'] for result in found):>7} {failed:>13} "
            f"{sum(result['answers_replayed'] for result in found):>9} "
            f"{max(result['longest_gap_seconds'] for result in found):>10.1f} s "
            f"{sum(len(result['problems']) for result in found):>16} "
            f"{sum(len(result['violations']) for result in found):>11} {sum(result['given_up'] for result in found):>9}"
        )
    good = sum(is_good(result) for result in results)
    return "\n".join([*lines, f"{good} of {len(results)} trials went as they must"])


def main() -> None:
    """Run the trials that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=6.0, help="of load in each trial")
    parser.add_argument("--traders", type=int, default=8)
    parser.add_argument("--lossy", action="store_true", help="let PostgreSQL lose commits, to see that it is found")
    parser.add_argument("--results", type=Path, required=True, metavar="FILE", help="a line of JSON for each trial")
    parser.add_argument("--kind", action="append", choices=KINDS, help="again for each (all)")
    options = parser.parse_args()
    options.kind = options.kind or KINDS
    known = options.results.read_text(encoding="utf-8").splitlines() if options.results.exists() else []
    results = [result for result in map(json.loads, known) if result["seed"] == options.seed]
    missing = sorted(set(range(1, options.trials + 1)) - {result["trial"] for result in results})
    if missing:
        with ExitStack() as stack, options.results.open("a", encoding="utf-8", buffering=1) as file:
            stage = Stage(stack, LOSSY if options.lossy else DURABLE)
            for number in missing:
                result = trial(stage, number, options)
                results.append(result)
                file.write(json.dumps(result) + "\n")
                print(f"{number:>3} {result['kind']:<12} {'ok' if is_good(result) else 'WRONG'}", flush=True)  # noqa: T201
    print(table(results))  # noqa: T201 - what the program is for
    sys.exit(not all(map(is_good, results)))


if __name__ == "__main__":
    main()
