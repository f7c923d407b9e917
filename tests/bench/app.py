"""make bench-app: orders over HTTP next to pgbench on the same server in the same run, and how both grow with the book.

A PostgreSQL of its own with durable settings, gunicorn as in a pod (2 workers of 4 threads), 8 clients at a time for
both. Prints a table and writes all raw trials to build/bench/app.json. Fails only if it couldn't measure, or if the
books don't balance afterwards or an acknowledged order is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
APP = PROJECT / "app"
sys.path[:0] = [str(PROJECT / "tests"), str(APP)]

from cluster.shell import fail, say
from testing.processes import Gunicorn, environment, manage
from testing.server import Server

# Durable, as a production server is: a commit is on the disk before anybody hears of it.
DURABLE = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "max_connections": "60",
}
CLIENTS = 8
PROCESSES = 2
DEPTHS = (10, 1_000, 100_000)
MARKETS = {"BTC-USDC": "100.00", "ETH-USDC": "100.00", "ETH-BTC": "0.05000", "USDC-EUR": "1.0000"}
QUANTITIES = {"BTC-USDC": "0.01", "ETH-USDC": "0.01", "ETH-BTC": "0.01", "USDC-EUR": "100"}
DEEP = "BTC-USDC"


def pgbench(server: Server, seconds: int) -> dict[str, float]:
    """Run pgbench's simple-update with as many clients; return its transactions per second and latency."""
    cpu = cpu_seconds(database_pid(server))
    done = subprocess.run(
        [
            server.bin / "pgbench", "--no-vacuum", "--skip-some-updates", f"--client={CLIENTS}",
            f"--jobs={PROCESSES}", f"--time={seconds}", "--report-per-command", "pgbench",
        ],
        env=libpq(server), capture_output=True, text=True, check=True,
    )  # fmt: skip
    tps = re.search(r"tps = ([0-9.]+) \(without", done.stdout)
    latency = re.search(r"latency average = ([0-9.]+) ms", done.stdout)
    if tps is None or latency is None:
        raise RuntimeError(f"pgbench said:\n{done.stdout}")
    transactions = float(tps[1]) * seconds
    cpu_ms = 1e3 * (cpu_seconds(database_pid(server)) - cpu) / transactions
    return {"tps": float(tps[1]), "mean_ms": float(latency[1]), "database_cpu_ms": cpu_ms}


def database_pid(server: Server) -> int:
    """Return the id of PostgreSQL's first process."""
    return int((server.folder / "data" / "postmaster.pid").read_text().splitlines()[0])


def libpq(server: Server) -> dict[str, str]:
    """Return the environment that leads PostgreSQL's own programs to the server."""
    return {
        "PATH": os.environ["PATH"],
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server.port),
        "PGUSER": "tests",
        "PGPASSWORD": "tests",
    }


def prepare(server: Server) -> dict[str, str]:
    """Make both databases; return the application's environment. Django is set up afterwards."""
    for name in ("exchange", "pgbench"):
        subprocess.run([server.bin / "createdb", name], env=libpq(server), check=True)
    subprocess.run(
        [server.bin / "pgbench", "--initialize", "--scale=10", "--quiet", "pgbench"],
        env=libpq(server), capture_output=True, check=True,
    )  # fmt: skip
    variables = environment(server.environment() | {"DATABASE_NAME": "exchange"})
    done = manage(variables, "migrate")
    if done.returncode:
        raise RuntimeError(done.stderr)
    os.environ.update(variables | {"DJANGO_SETTINGS_MODULE": "exchange.settings", "LOG_LEVEL": "ERROR"})
    import django

    django.setup()
    return variables


def make_tokens() -> list[str]:
    """Return a token each of as many rich customers as there are clients."""
    from api.tokens import issue
    from testing.books import rich_user

    return [issue(rich_user(f"client{number}"), "bench")[1] for number in range(CLIENTS)]


def load(port: int, tokens: Sequence[str], markets: Sequence[str], seconds: float) -> dict[str, Any]:
    """Let the clients send orders that meet: half of them buy and half of them sell, at one price a market."""
    clients = [
        {
            "port": port,
            "token": token,
            "market": (market := markets[number // 2 % len(markets)]),
            "side": ("buy", "sell")[number % 2],
            "quantity": QUANTITIES[market],
            "price": MARKETS[market],
        }
        for number, token in enumerate(tokens)
    ]
    processes = []
    for number in range(PROCESSES):
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("app_client.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"clients": clients[number::PROCESSES], "seconds": seconds}) + "\n")
        process.stdin.flush()
        process.stdout.readline()
        processes.append(process)
    begun = time.monotonic()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    results = [row for process in processes for row in json.loads(process.communicate(timeout=seconds + 60)[0])]
    took = time.monotonic() - begun
    statuses: Counter[str] = Counter()
    for row in results:
        statuses.update(row["statuses"])
    latencies = sorted(value for row in results for value in row["seconds"])
    orders = [order for row in results for order in row["acknowledged"]]
    return {
        "markets": list(markets),
        "seconds": took,
        "orders": len(orders),
        "orders_per_second": len(orders) / took,
        "p50_ms": 1e3 * latencies[len(latencies) // 2],
        "p99_ms": 1e3 * latencies[len(latencies) * 99 // 100],
        "statuses": dict(statuses),
        "acknowledged": orders,
        "latencies_ms": [round(1e3 * value, 2) for value in latencies],
    }


def cpu_seconds(pid: int) -> float:
    """Return how much processor time a process and all its descendants have used, those that ended included."""
    found: dict[int, list[str]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            found[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended in between
    family = {pid}
    while more := {child for child, fields in found.items() if int(fields[1]) in family} - family:
        family |= more
    # utime, stime, and those of children that were waited for, in ticks
    ticks = sum(int(field) for member in family if member in found for field in found[member][11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def matching_time(metrics: str) -> tuple[float, float]:
    """Return how many seconds orders had their market to themselves, and how many orders."""
    total, count = (
        sum(float(v) for v in re.findall(rf"^exchange_matching_seconds_{what}\{{.*\}} (\S+)$", metrics, re.MULTILINE))
        for what in ("sum", "count")
    )
    return total, count


def measured_load(
    server: Gunicorn, database_pid: int, tokens: Sequence[str], markets: Sequence[str], seconds: float
) -> dict[str, Any]:
    """Measure a load, with what the server's own metrics say of its matching, and the processor time of both."""
    before, cpu = matching_time(server.metrics()), (cpu_seconds(server.process.pid), cpu_seconds(database_pid))
    result = load(server.port, tokens, markets, seconds)
    after = matching_time(server.metrics())
    result["app_cpu_ms"] = 1e3 * (cpu_seconds(server.process.pid) - cpu[0]) / max(1, result["orders"])
    result["database_cpu_ms"] = 1e3 * (cpu_seconds(database_pid) - cpu[1]) / max(1, result["orders"])
    if after[1] - before[1] < result["orders"]:
        raise RuntimeError(f"the metrics count {after[1] - before[1]:.0f} of {result['orders']} orders")
    return result | {"matching_mean_ms": 1e3 * (after[0] - before[0]) / (after[1] - before[1])}


def settle_books() -> None:
    """Cancel what the clients left in the book at the price where they meet, so that depths stay what they are said."""
    from markets.models import Order
    from markets.services.orders import cancel_order

    for order in Order.objects.filter(status="open", user__username__startswith="client").select_related("user"):
        cancel_order(order.user, order.pk)


def fill_to(depth: int) -> int:
    """Let as many orders wait on the deep market; return how many do."""
    from markets.models import Order
    from testing.books import analyze, fill_book

    waiting = Order.objects.filter(status="open", market=DEEP).count()
    fill_book(DEEP, depth - waiting, Decimal(MARKETS[DEEP]))
    analyze()
    return Order.objects.filter(status="open", market=DEEP).count()


def plans() -> dict[str, dict[str, Any]]:
    """Explain how the book is read: by an incoming order, and by the page that shows it."""
    from testing.books import book_reads, explain

    found = {}
    for name, (statement, values) in book_reads(DEEP).items():
        explain(statement, values)  # once before, for the caches
        plan = explain(statement, values)
        found[name] = {
            "statement": statement,
            "plan": plan,
            "index": index_of(plan["Plan"]),
            "pages": plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"],
            "rows": plan["Plan"]["Actual Rows"],
            "ms": plan["Execution Time"],
        }
    return found


def index_of(plan: Mapping[str, Any]) -> str:
    """Return the index that orders are read by; none if there are so few that it doesn't pay."""
    if plan.get("Relation Name") == "markets_order":
        return str(plan.get("Index Name", "no index"))
    return next((name for below in plan.get("Plans", []) if (name := index_of(below))), "")


def traded_share(acknowledged: Sequence[int]) -> float:
    """Return which share of the orders has traded by now."""
    from markets.models import Order

    traded = set(Order.objects.filter(filled__gt=0).values_list("pk", flat=True))
    return sum(number in traded for number in acknowledged) / max(1, len(acknowledged))


def lost(acknowledged: Sequence[int]) -> list[int]:
    """Return acknowledged orders that aren't there exactly once."""
    from markets.models import Order

    there = set(Order.objects.filter(idempotency_key__regex=r"^[0-9a-f-]{36}$").values_list("pk", flat=True))
    twice = [number for number, times in Counter(acknowledged).items() if times > 1]
    return twice + [number for number in acknowledged if number not in there]


def table(rows: Sequence[tuple[str, float, str, str, float | None]]) -> None:
    """Print figures with their peers."""
    say(f"\n{'figure':58} {'median':>9}  {'unit':9} {'peer':34} {'ratio':>6}")
    for figure, value, unit, peer, ratio in rows:
        say(f"{figure:58} {value:9.1f}  {unit:9} {peer:34} {'' if ratio is None else f'{ratio:6.3f}'}")


def main() -> int:
    """Measure in turn, print, and keep the raw trials."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10, help="of each trial")
    parser.add_argument("--depths", type=int, nargs="*", default=DEPTHS)
    arguments = parser.parse_args()
    folder = PROJECT / "build" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    # Stopped from outside it cleans up as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    server = Server(DURABLE)
    try:
        return measure(server, arguments, folder)
    finally:
        server.remove()


def measure(server: Server, arguments: argparse.Namespace, folder: Path) -> int:
    """Do it on a running server."""
    variables = prepare(server)
    tokens = make_tokens()
    acknowledged: list[int] = []
    trials: list[dict[str, Any]] = []
    depths: list[dict[str, Any]] = []
    with Gunicorn(variables | {"WEB_CONCURRENCY": "2", "WEB_THREADS": "4"}, settings="exchange.settings") as web:
        load(web.port, tokens, list(MARKETS), 2)  # once before: imports, caches, connections
        for number in range(1, arguments.trials + 1):
            row: dict[str, Any] = {"pgbench": pgbench(server, arguments.seconds)}
            row["one_market"] = measured_load(web, database_pid(server), tokens, [DEEP], arguments.seconds)
            row["four_markets"] = measured_load(web, database_pid(server), tokens, list(MARKETS), arguments.seconds)
            trials.append(row)
            say(
                f"    trial {number} of {arguments.trials}: pgbench {row['pgbench']['tps']:.0f} tps, orders"
                f" {row['one_market']['orders_per_second']:.0f}/s on one market,"
                f" {row['four_markets']['orders_per_second']:.0f}/s on four"
            )
        for depth in arguments.depths:
            settle_books()
            waiting = fill_to(depth)
            runs = []
            for _ in range(arguments.trials):
                runs.append(measured_load(web, database_pid(server), tokens, [DEEP], arguments.seconds))
                settle_books()
            depths.append({"open_orders": waiting, "runs": runs, "plans": plans()})
            say(
                f"    {waiting:,} open orders: {statistics.median(r['orders_per_second'] for r in runs):.0f}/s,"
                f" matching {statistics.median(r['matching_mean_ms'] for r in runs):.2f} ms"
            )
    loads = [row[name] for row in trials for name in ("one_market", "four_markets")]
    loads += [run for row in depths for run in row["runs"]]
    for run in loads:
        acknowledged += run.pop("acknowledged")
    refused = sum((Counter(run["statuses"]) for run in loads), Counter())
    missing = lost(acknowledged)
    checked = manage(variables, "check_books", "--json", timeout_seconds=600)
    report: dict[str, Any] = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "load_average": os.getloadavg()},
        "postgresql": server.settings,
        "clients": CLIENTS,
        "trials": trials,
        "depths": depths,
        "statuses": dict(refused),
        "acknowledged_orders": len(acknowledged),
        "traded_share": traded_share(acknowledged),
        "missing_orders": missing,
        "check_books": json.loads(checked.stdout or "{}"),
    }
    (folder / "app.json").write_text(json.dumps(report, indent=1, default=str))
    summarize(trials, depths, report["traded_share"])
    if missing or checked.returncode:
        return fail(f"lost: {len(missing)} acknowledged orders; check_books said {checked.stdout} {checked.stderr}")
    if set(refused) != {"201"}:
        return fail(f"not every order was taken, so the figures mean nothing: {dict(refused)}")
    return 0


def summarize(trials: Sequence[Mapping[str, Any]], depths: Sequence[Mapping[str, Any]], traded_share: float) -> None:
    """Print the table and the summary."""

    def median(name: str, figure: str) -> float:
        return statistics.median(row[name][figure] for row in trials)

    tps = median("pgbench", "tps")
    rows: list[tuple[str, float, str, str, float | None]] = [
        ("pgbench -N (simple-update), 8 clients", tps, "tps", "", None),
        ("pgbench -N, mean latency", median("pgbench", "mean_ms"), "ms", "", None),
        ("pgbench -N, processor time of PostgreSQL", median("pgbench", "database_cpu_ms"), "ms/tx", "", None),
    ]
    for name, title in (("one_market", "one market"), ("four_markets", "four markets")):
        rate = median(name, "orders_per_second")
        rows += [
            (f"orders over HTTP, {title}, 8 clients", rate, "orders/s", "pgbench -N, same run", rate / tps),
            (f"orders over HTTP, {title}, p50", median(name, "p50_ms"), "ms", "", None),
            (f"orders over HTTP, {title}, p99", median(name, "p99_ms"), "ms", "", None),
            (f"matching, {title}: lock to commit, mean", median(name, "matching_mean_ms"), "ms", "", None),
            (f"processor time of the application, {title}", median(name, "app_cpu_ms"), "ms/order", "", None),
            (
                f"processor time of PostgreSQL, {title}",
                median(name, "database_cpu_ms"),
                "ms/order",
                "pgbench -N, a transaction",
                median(name, "database_cpu_ms") / median("pgbench", "database_cpu_ms"),
            ),
        ]
    first = depths[0] if depths else None
    for row in depths:
        waiting = f"{row['open_orders']:,} open orders"
        for figure, title, unit in (
            ("orders_per_second", "orders over HTTP", "orders/s"),
            ("p99_ms", "p99", "ms"),
            ("matching_mean_ms", "matching", "ms"),
        ):
            value = statistics.median(run[figure] for run in row["runs"])
            base = statistics.median(run[figure] for run in first["runs"]) if first else value
            rows.append(
                (
                    f"{title}, {waiting}",
                    value,
                    unit,
                    f"the same at {first['open_orders']}" if first else "",
                    value / base,
                )
            )
        for name, plan in row["plans"].items():
            rows.append((f"{name}, {waiting}", plan["pages"], "pages", f"{plan['index']}, {plan['ms']:.2f} ms", None))
    rows.append(("of all orders, those that traded", 100 * traded_share, "%", "", None))
    table(rows)
    rate, slow = median("one_market", "orders_per_second"), median("one_market", "p99_ms")
    deepest = depths[-1] if depths else None
    growth = ""
    if first and deepest:
        times = [statistics.median(run["matching_mean_ms"] for run in row["runs"]) for row in (first, deepest)]
        growth = (
            f"; matching takes {times[0]:.1f} ms with {first['open_orders']} open orders"
            f" and {times[1]:.1f} ms with {deepest['open_orders']:,}"
        )
    say(
        f"\n{rate:.0f} matched orders/s on one market over HTTP (p99 {slow:.0f} ms), {rate / tps:.3f} of pgbench -N's"
        f" {tps:.0f} tps on the same server{growth}"
    )


if __name__ == "__main__":
    sys.exit(main())
