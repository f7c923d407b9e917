"""Figures for Prometheus, out of what the bucket holds. Needs to list and to read manifests and reports; no key."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from exchange_backup import catalog, report
from exchange_backup.bucket import Bucket
from exchange_backup.catalog import Entry
from exchange_backup.errors import BackupError
from exchange_backup.manifest import DATABASE, SERIES, Manifest
from exchange_backup.report import Report

LOG: Final = logging.getLogger(__name__)
# Backups are hours apart, and every look reads all manifests.
FRESH_SECONDS: Final = 300
NEWEST_REPORTS: Final = 20

HELP: Final = {
    "exchange_backup_bucket_up": "Whether the bucket could be read.",
    "exchange_backup_good": "Backups that are whole, as far as sizes tell.",
    "exchange_backup_damaged": "Backups whose manifest or objects aren't as they should be.",
    "exchange_backup_last_success_timestamp_seconds": "When the newest good backup was finished.",
    "exchange_backup_last_duration_seconds": "How long the newest good backup took.",
    "exchange_backup_last_stored_bytes": "What the newest good backup takes in the bucket.",
    "exchange_backup_last_plain_bytes": "What the newest good backup holds, before encryption.",
    "exchange_backup_previous_plain_bytes": "What the good backup before it holds.",
    "exchange_backup_last_rows": "Rows of a table in the newest good backup.",
    "exchange_backup_last_verified_timestamp_seconds": "When a backup was last restored and checked.",
    "exchange_backup_report_timestamp_seconds": "When a job of a kind last reported.",
    "exchange_backup_report_success": "Whether the last job of a kind did what it should.",
    "exchange_backup_report_duration_seconds": "How long the last job of a kind took.",
    "exchange_backup_reports_failed": "Failures among the newest reports of a kind.",
}
Sample = tuple[str, Mapping[str, str], float]


def samples(
    entries: Iterable[Entry], reports: Mapping[str, list[Report]], expected: Sequence[str] = (DATABASE,)
) -> list[Sample]:
    """Return what is to be told of backups and of reports by kind, the oldest first.

    Of a series that isn't expected nothing is told unless there is something of it.
    """
    listed = list(entries)
    damaged = [one for one in listed if one.problem and not one.problem.startswith("no manifest")]
    found: list[Sample] = [("exchange_backup_damaged", {}, len(damaged))]
    good = sorted((one.manifest for one in listed if one.good and one.manifest), key=lambda one: one.taken)
    for series in SERIES:
        some = [one for one in good if one.series == series]
        if some or series in expected:
            found += _of_series(series, some, reports.get(report.DRILLS[series], []))
    for kind, listed_reports in reports.items():
        found += _of_reports(kind, listed_reports)
    return found


def _of_series(series: str, good: list[Manifest], drills: list[Report]) -> list[Sample]:
    """Return what is to be told of backups of one kind, the oldest first, and of the drills that tried them."""
    labels = {"series": series}
    found: list[Sample] = [("exchange_backup_good", labels, len(good))]
    for back, name in ((1, "last"), (2, "previous")):
        if len(good) >= back:
            plain = sum(stream.plain_bytes for stream in good[-back].streams)
            found.append((f"exchange_backup_{name}_plain_bytes", labels, plain))
    if good:
        newest = good[-1]
        finished = newest.taken.timestamp() + newest.seconds
        found += [
            ("exchange_backup_last_success_timestamp_seconds", labels, finished),
            ("exchange_backup_last_duration_seconds", labels, newest.seconds),
            ("exchange_backup_last_stored_bytes", labels, newest.stored_bytes),
        ]
        found += [
            ("exchange_backup_last_rows", {"table": table}, count) for table, count in newest.database.rows.items()
        ]
    proofs = [one for one in drills if one.ok]
    if proofs:
        found.append(("exchange_backup_last_verified_timestamp_seconds", labels, proofs[-1].at.timestamp()))
    return found


def _of_reports(kind: str, reports: list[Report]) -> list[Sample]:
    if not reports:
        return []
    last, labels = reports[-1], {"kind": kind}
    return [
        ("exchange_backup_report_timestamp_seconds", labels, last.at.timestamp()),
        ("exchange_backup_report_success", labels, float(last.ok)),
        ("exchange_backup_report_duration_seconds", labels, last.seconds),
        ("exchange_backup_reports_failed", labels, sum(not one.ok for one in reports)),
    ]


def text(found: Iterable[Sample], target: str) -> str:
    """Return samples in Prometheus' text format, each with the target's name."""
    lines: list[str] = []
    told: set[str] = set()
    # The format wants the samples of a name together.
    for name, labels, value in sorted(found, key=lambda one: one[0]):
        if name not in told:
            told.add(name)
            lines += [f"# HELP {name} {HELP[name]}", f"# TYPE {name} gauge"]
        inner = ",".join(f'{label}="{_escaped(content)}"' for label, content in {"target": target, **labels}.items())
        lines.append(f"{name}{{{inner}}} {value:.17g}")
    return "\n".join(lines) + "\n"


def _escaped(content: str) -> str:
    return content.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class Figures:
    """What a scrape gets: read anew when it isn't fresh any more."""

    def __init__(self, bucket: Bucket, expected: Sequence[str]) -> None:
        """Begin with nothing read."""
        self.bucket, self.expected = bucket, expected
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._text = ""

    def get(self) -> str:
        """Return the figures as text."""
        with self._lock:
            if time.monotonic() - self._read_at > FRESH_SECONDS:
                self._text = self._read()
                self._read_at = time.monotonic()
            return self._text

    def _read(self) -> str:
        try:
            reports = {kind: report.read(self.bucket, kind, NEWEST_REPORTS) for kind in report.KINDS}
            found = samples(catalog.entries(self.bucket), reports, self.expected)
        except BackupError as error:
            # Old figures would look as if all were well.
            LOG.error("%s", error)  # noqa: TRY400
            return text([("exchange_backup_bucket_up", {}, 0)], self.bucket.target.name)
        return text([("exchange_backup_bucket_up", {}, 1), *found], self.bucket.target.name)


def server(bucket: Bucket, port: int, expected: Sequence[str] = (DATABASE,)) -> ThreadingHTTPServer:
    """Return the server, which listens but doesn't answer yet."""
    figures = Figures(bucket, expected)

    class Handler(BaseHTTPRequestHandler):
        """Answers /metrics, and /healthz without looking at the bucket."""

        def do_GET(self) -> None:
            """Answer."""
            known: dict[str, Callable[[], str]] = {"/metrics": figures.get, "/healthz": lambda: "ok\n"}
            answer = known.get(self.path)
            body = answer().encode() if answer else b"/metrics\n"
            self.send_response(200 if answer else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing: scrapes and probes are no news."""

    return ThreadingHTTPServer(("", port), Handler)


def serve(bucket: Bucket, port: int, expected: Sequence[str]) -> None:
    """Answer scrapes until told to stop."""
    LOG.info("figures on port %d", port)
    with server(bucket, port, expected) as running:
        running.serve_forever()
