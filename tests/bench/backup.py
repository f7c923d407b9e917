"""make bench-backup: backups and restores, next to bare pg_dump and pg_restore of the same database in the same run.

A PostgreSQL of its own with durable settings, filled by the exchange and by pgbench, and versitygw on loopback as the
S3 server, on the same disk as the bare tools' file. Every backup is encrypted. Prints a table and writes all raw trials
to build/bench/backup.json. Fails only if it couldn't measure, or if something was lost: each restore compares its rows.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT / "tests"), str(PROJECT / "app"), str(PROJECT / "images" / "backup")]

import pyrage
from backup.gateway import REGION, ROOT, Gateway
from cluster.shell import fail, say
from testing.processes import environment, manage
from testing.server import Server

DURABLE = {"shared_buffers": "256MB", "max_wal_size": "4GB", "max_connections": "60", "maintenance_work_mem": "128MB"}
# What pgbench makes of one unit of scale, a little less than it is.
BYTES_OF_SCALE = 15_000_000
MOST_BYTES = 256 << 20
SOURCE, TABLES = "bench", ("pgbench_accounts", "markets_order", "ledger_posting")
# Waiting orders, with their holds and postings, for each GiB; written so many in a transaction: each posting changes a
# balance, and finds it the later the more often that has been done in the same one.
ORDERS_OF_GIGABYTE, ORDERS_AT_ONCE, MARKET, PRICE = 50_000, 1_000, "BTC-USDC", 100
FILL_SECONDS = 1800
# What is promised, in shares of the bare tool's time: throughput of 80 % with encryption, and what a restore may take.
PROMISED = {"backup": 1 / 0.8, "restore, streamed": 1.15, "restore, 2 jobs": 1.2}


@dataclass(frozen=True)
class Trial:
    """One run of one program."""

    what: str
    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int


def measured(what: str, command: Sequence[str | Path]) -> Trial:
    """Run a command in a process of its own, so that the largest of its children is its own."""
    begun = time.monotonic()
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    pid = os.posix_spawnp(command[0], [str(word) for word in command], os.environ, file_actions=quiet)
    _, status, used = os.wait4(pid, 0)
    wall = time.monotonic() - begun
    if status:
        raise RuntimeError(f"{what}: {command[0]} ended with {os.waitstatus_to_exitcode(status)}")
    return Trial(what, wall, used.ru_utime + used.ru_stime, used.ru_maxrss << 10)


@contextmanager
def prepared(folder: Path, gigabytes: float) -> Iterator[Path]:
    """Start both servers, fill the database, and return the configuration's file."""
    server = Server(DURABLE)
    gateway = Gateway(folder / "s3")
    try:
        os.environ |= {
            "PATH": f"{server.bin}:{os.environ['PATH']}", "PGHOST": "127.0.0.1", "PGPORT": str(server.port),
            "PGUSER": "tests", "PGPASSWORD": "tests", "PYTHONPATH": str(PROJECT / "images" / "backup"),
            "AWS_ACCESS_KEY_ID": ROOT[0], "AWS_SECRET_ACCESS_KEY": ROOT[1],
        }  # fmt: skip
        subprocess.run(["createdb", SOURCE], check=True)
        fill(server, gigabytes)
        gateway.client().create_bucket(Bucket="bench")
        identity = pyrage.x25519.Identity.generate()
        (folder / "key.txt").write_text(str(identity))
        config = {
            "target": {"bucket": "bench", "endpoint": gateway.endpoint, "region": REGION, "path_style": True},
            "database": SOURCE,
            "compression": compression(),
            "recipients": [str(identity.to_public())],
            "tables": TABLES,
        }
        (folder / "config.json").write_text(json.dumps(config))
        yield folder / "config.json"
    finally:
        gateway.kill()
        server.remove()


def fill(server: Server, gigabytes: float) -> None:
    """Fill the database: the exchange's tables with a deep book, and then pgbench's up to the size."""
    orders = round(gigabytes * ORDERS_OF_GIGABYTE)
    say(f"==> Fill {gigabytes:g} GiB ({orders} orders of the exchange, then pgbench)")
    # Not in this process, whose size every program that it starts is said to have had.
    application = environment(server.environment() | {"DATABASE_NAME": SOURCE})
    fillings = [min(ORDERS_AT_ONCE, orders - begun) for begun in range(0, orders, ORDERS_AT_ONCE)]
    book = (
        "from decimal import Decimal; from testing.books import fill_book; "
        f"[fill_book({MARKET!r}, count, Decimal({PRICE})) for count in {fillings}]"
    )
    for command in (["migrate"], ["shell", "-c", book]):
        done = manage(application, *command, timeout_seconds=FILL_SECONDS)
        if done.returncode:
            raise RuntimeError(f"manage.py {command[0]}: {done.stderr}")
    scale = max(1, -(-(round(gigabytes * (1 << 30)) - size()) // BYTES_OF_SCALE))
    subprocess.run(["pgbench", "--initialize", "--quiet", f"--scale={scale}", SOURCE], check=True, capture_output=True)
    say(f"    {size() / (1 << 30):.2f} GiB, of which pgbench has a scale of {scale}")


def size() -> int:
    """Return the database's size in bytes."""
    command = ["psql", "-XAtq", "-d", SOURCE, "-c", "SELECT pg_database_size(current_database())"]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def compression() -> str:
    """Return zstd, or what a pg_dump before 16 has instead."""
    version = subprocess.run(["pg_dump", "--version"], capture_output=True, text=True, check=True).stdout
    return "zstd:1" if int(version.split()[2].partition(".")[0]) >= 16 else "1"


def round_of(config: Path) -> list[Trial]:
    """Run each of them once."""
    folder, dump = config.parent, config.parent / "dump"
    ours = [sys.executable, "-m", "exchange_backup", f"--config={config}"]
    key = f"--private-key={folder}/key.txt"
    bare = ["pg_dump", "--format=custom", f"--compress={compression()}", f"--file={dump}", SOURCE]
    trials = [measured("pg_dump > file", bare), measured("backup", [*ours, "backup"])]
    shell = f"cat {dump} | pg_restore --exit-on-error --dbname"
    restores: dict[str, list[str | Path]] = {
        "pg_restore < pipe": ["sh", "-c", f"{shell} new"],
        "restore, streamed": [*ours, "restore", key, "--database=new"],
        "pg_restore -j2": ["pg_restore", "--exit-on-error", "--jobs=2", "--dbname=new", dump],
        "restore, 2 jobs": [*ours, "restore", key, "--database=new", "--jobs=2", f"--scratch={folder}"],
    }
    for what, command in restores.items():
        if command[0] != sys.executable:
            subprocess.run(["createdb", "new"], check=True)
        trials.append(measured(what, command))
        subprocess.run(["dropdb", "new"], check=True)
    dump.unlink()
    shutil.rmtree(folder / "s3" / "data" / "bench" / "backups")
    return trials


PAIRS = {
    "backup": "pg_dump > file",
    "restore, streamed": "pg_restore < pipe",
    "restore, 2 jobs": "pg_restore -j2",
}


def table(trials: Sequence[Trial]) -> dict[str, float]:
    """Print medians next to those of the bare tool; return the ratios of wall time."""
    by_name: dict[str, list[Trial]] = {}
    for trial in trials:
        by_name.setdefault(trial.what, []).append(trial)
    wall = {what: statistics.median(one.wall_seconds for one in some) for what, some in by_name.items()}
    say(f"{'':20} {'wall s':>8} {'CPU s':>8} {'peak MiB':>9}  next to")
    for what, some in by_name.items():
        cpu = statistics.median(one.cpu_seconds for one in some)
        peak = max(one.peak_bytes for one in some) >> 20
        beside = ""
        if what in PAIRS:
            beside = f"{wall[what] / wall[PAIRS[what]]:.2f} x {PAIRS[what]} ({PROMISED[what]:.2f} promised)"
        say(f"{what:20} {wall[what]:8.2f} {cpu:8.2f} {peak:9}  {beside}")
    return {what: wall[what] / wall[other] for what, other in PAIRS.items()}


def main() -> int:
    """Measure in turn, print, and keep the raw trials."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=float(os.environ.get("GIGABYTES", "2")))
    parser.add_argument("--trials", type=int, default=int(os.environ.get("TRIALS", "5")))
    options = parser.parse_args()
    results = PROJECT / "build" / "bench"
    results.mkdir(parents=True, exist_ok=True)
    trials: list[Trial] = []
    # Beside the results: temporary folders may be in memory.
    with tempfile.TemporaryDirectory(dir=results) as name, prepared(Path(name), options.gigabytes) as config:
        for number in range(1, options.trials + 1):
            say(f"==> Trial {number} of {options.trials}")
            trials += round_of(config)
    ratios = table(trials)
    keep(results / "backup.json", options.gigabytes, trials, ratios)
    peak = max(trial.peak_bytes for trial in trials if trial.what in PAIRS)
    if peak > MOST_BYTES:
        return fail(f"a job took {peak >> 20} MiB of memory; {MOST_BYTES >> 20} are promised")
    speed, streamed, parallel = 1 / ratios["backup"], ratios["restore, streamed"], ratios["restore, 2 jobs"]
    say(
        f"backup at {100 * speed:.0f} % of pg_dump's speed, restores in {streamed:.2f} (streamed) and {parallel:.2f}"
        f" (2 jobs) of pg_restore's time, {peak >> 20} MiB at most"
    )
    return 0


def keep(file: Path, gigabytes: float, trials: Sequence[Trial], ratios: Mapping[str, float]) -> None:
    """Write everything that was measured."""
    report = {
        "machine": {"cores": os.cpu_count(), "platform": platform.platform()},
        "gigabytes": gigabytes,
        "compression": compression(),
        "ratios": ratios,
        "promised": {**PROMISED, "peak_bytes": MOST_BYTES},
        "trials": [asdict(trial) for trial in trials],
    }
    file.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (RuntimeError, subprocess.CalledProcessError) as error:
        sys.exit(fail(str(error)))
