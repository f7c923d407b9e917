"""Move a PostgreSQL outside the cluster in while traders trade on it, and find everything they were told again.

The exchange runs on this machine, with a database of its own and load over HTTP. playbooks/migrate.yml rehearses, cuts
over, and says for how long nobody could write; then the load's record is held against the platform's database. CLUSTER
names the cluster (test), which is made if need be. Results: build/prove/moving_in.json.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
sys.path[:0] = [
    str(PROJECT / "tests"),
    str(PROJECT / "tests" / "bench"),
    str(Path(__file__).parent),
    str(PROJECT / "app"),
]

from cluster.shell import Failure, fail, run, say
from exchange_load import verified
from testing.processes import Gunicorn, environment, manage
from testing.server import Server
from with_backups import CLUSTER, playbook, ready

RESULTS = PROJECT / "build" / "prove" / "moving_in.json"
RATE, BEFORE_SECONDS, AFTER_SECONDS = 10, 10, 5


def gateway() -> str:
    """Return this machine's address on the network of the cluster's nodes."""
    networks = json.loads(run(["docker", "network", "inspect", "kind"]))[0]["IPAM"]["Config"]
    return str(next(one["Gateway"] for one in networks if "." in one.get("Gateway", "")))


@contextmanager
def outside(address: str) -> Iterator[Server]:
    """Run a PostgreSQL on this machine that the cluster's nodes reach, and nobody else."""
    server = Server({"max_connections": "60", "listen_addresses": f"127.0.0.1,{address}"})
    try:
        rules = server.folder / "data" / "pg_hba.conf"
        rules.write_text(rules.read_text() + f"host all tests {address}/16 scram-sha-256\n")
        server.stop()
        server.start()
        yield server
    finally:
        server.remove()


@contextmanager
def load(base_url: str, variables: dict[str, str], folder: Path) -> Iterator[Path]:
    """Let traders trade while the block runs; yields the file of their record."""
    record = folder / "record.jsonl"
    command = [sys.executable, "manage.py", "trade_load", "run", "--base-url", base_url, "--record", str(record)]
    command += ["--rate", str(RATE), "--seconds", "3600", "--give-up-after", "2"]
    with (folder / "log").open("wb") as log, subprocess.Popen(
        command, cwd=PROJECT / "app", env=variables, stdout=log, stderr=log, start_new_session=True
    ) as process:  # fmt: skip
        try:
            time.sleep(BEFORE_SECONDS)
            if process.poll() is not None:
                raise Failure(f"the load ended by itself: {(folder / 'log').read_text()[-600:]}")
            yield record
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=120)


def migrate(server: Server, address: str, **others: Any) -> str:
    """Run the playbook; return what it printed."""
    source = {
        "migrate_host": address,
        "migrate_port": server.port,
        "migrate_database": "postgres",
        "migrate_username": "tests",
        "migrate_password": "tests",
        "migrate_sslmode": "disable",
        "migrate_from": [{"cidr": f"{address}/32"}],
    }
    return playbook("playbooks/migrate.yml", **source, **others)


def main() -> int:
    """Do it, and print what was seen."""
    ready()
    address = gateway()
    with outside(address) as server, tempfile.TemporaryDirectory() as name:
        variables = environment(server.environment()) | {"LOG_LEVEL": "WARNING", "RETRY_AFTER_SECONDS": "1"}
        done = manage(variables, "migrate")
        if done.returncode:
            raise Failure(f"manage.py migrate: {done.stderr[-600:]}")
        with Gunicorn(variables | {"WEB_CONCURRENCY": "2"}) as web:
            with load(f"http://127.0.0.1:{web.port}", variables, Path(name)) as record:
                begun = time.monotonic()
                migrate(server, address, migrate_into="exchange_rehearsed")
                rehearsed = time.monotonic() - begun
                said = migrate(server, address, migrate_cut_over="exchange")
                time.sleep(AFTER_SECONDS)
            text = record.read_text()
    down = re.search(r"nobody could write for\s+([0-9.]+) s", " ".join(said.split()))
    if not down:
        raise Failure(f"the playbook did not say for how long nobody could write: {said[-1500:]}")
    verdict, books = verified(CLUSTER, text)
    result = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rehearsal_seconds": round(rehearsed, 1),
        "nobody_could_write_seconds": float(down[1]),
        "verdict": json.loads(verdict),
        "books": books.strip(),
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    say(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(fail(str(failure)))
