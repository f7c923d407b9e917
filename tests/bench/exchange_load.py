"""The exchange's own load beside a benchmark: traders over the ingress, and whether their record is whole."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml
from cluster.kind import Cluster, kubectl
from cluster.shell import Failure, say

PROJECT = Path(__file__).resolve().parents[2]
LONGEST_SECONDS = 12 * 3600
# Every process of the application that is a web server's; kubectl picks one of the Deployment.
WEB = ("-n", "exchange", "exec", "-i", "deploy/exchange-web", "--")
TOKENS, RECORD = "/tmp/load-tokens", "/tmp/load-record"  # noqa: S108  # in the pod, whose /tmp is its own
# trade_load reads the settings, but with tokens it uses no database: it goes the way of everybody else.
UNUSED = {
    "ALLOWED_HOSTS": "unused.invalid",
    "DATABASE_HOST": "unused.invalid",
    "DATABASE_NAME": "unused",
    "DATABASE_USER": "unused",
    "DATABASE_PASSWORD": "unused",
    "DATABASE_SSLMODE": "require",
}


@contextlib.contextmanager
def trading(cluster: Cluster, folder: Path, orders_per_second: float, address: str = "") -> Iterator[None]:
    """Let traders trade; afterwards compare their record with the database, and keep both in load-*.

    Raises:
        Failure: the load didn't begin, or what it was told isn't what the database holds.
    """
    with load(cluster, folder, orders_per_second, address) as record:
        yield
    verdict, books = verified(cluster, record.read_text())
    (folder / "load-verdict.json").write_text(verdict)
    say(f"    trade_load: {verdict.strip()}\n    check_books: {books.strip()}")


def verified(cluster: Cluster, record: str) -> tuple[str, str]:
    """Return what trade_load says of a record, as JSON, and what check_books says.

    Raises:
        Failure: what was acknowledged isn't there, or the books don't balance.
    """
    kubectl(cluster, *WEB, "sh", "-c", f"cat >{RECORD}", text_in=record)
    verdict = kubectl(cluster, *WEB, "python", "manage.py", "trade_load", "verify", "--record", RECORD, "--json")
    return verdict, kubectl(cluster, *WEB, "python", "manage.py", "check_books")


@contextlib.contextmanager
def load(cluster: Cluster, folder: Path, orders_per_second: float, address: str = "") -> Iterator[Path]:
    """Let traders trade over the ingress while the block runs; yields the file of their record.

    `address` is where an ingress is, if not where the cluster has its own.

    Raises:
        Failure: the load didn't begin, or ended by itself.
    """
    kubectl(cluster, *WEB, "python", "manage.py", "trade_load", "prepare", "--tokens", TOKENS)
    tokens, record, summary = folder / "load-tokens", folder / "load-record.jsonl", folder / "load-summary.json"
    for path in (tokens, record, summary):
        path.unlink(missing_ok=True)
    tokens.touch(mode=0o600)
    tokens.write_text(kubectl(cluster, *WEB, "cat", TOKENS))
    ca = folder / "load-ca.crt"
    authority = json.loads(kubectl(cluster, "-n", "exchange-platform", "get", "secret", "ingress-ca", "-o", "json"))
    ca.write_bytes(base64.b64decode(authority["data"]["tls.crt"]))
    variables = yaml.safe_load((PROJECT / "inventories" / "kind" / "group_vars" / "all" / "platform.yml").read_text())
    command = [
        sys.executable,
        "manage.py",
        "trade_load",
        "run",
        "--base-url",
        f"https://{variables['platform_domain']}",
    ]
    command += [
        "--address",
        address or cluster.address,
        "--ca-file",
        str(ca),
        "--tokens",
        str(tokens),
        "--record",
        str(record),
        "--summary",
        str(summary),
    ]
    command += ["--rate", str(orders_per_second), "--seconds", str(LONGEST_SECONDS), "--give-up-after", "600"]
    environment = {**os.environ, **UNUSED, "SECRET_KEY": secrets.token_urlsafe(60)}
    with (folder / "load.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=PROJECT / "app", env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield record
    finally:
        ended = process.poll()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=900)
    if ended is not None:
        raise Failure(f"the load ended by itself with {ended}: see {folder / 'load.log'}")
