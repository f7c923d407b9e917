"""How a job ended, as a document in the bucket: there the exporter finds it, whatever became of the cluster."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from exchange_backup import manifest
from exchange_backup.bucket import Bucket
from exchange_backup.errors import BackupError

LOG: Final = logging.getLogger(__name__)
FOLDER: Final = "reports/"
KINDS: Final = ("backup", "media", "drill", "media-drill", "prune")
# What proves backups of a series.
DRILLS: Final = {manifest.DATABASE: "drill", manifest.MEDIA: "media-drill"}
# Kubernetes shows this file's content with the pod, even if S3 can't be reached. It takes no more than this.
TERMINATION_LOG: Final = Path(os.environ.get("TERMINATION_LOG", "/dev/termination-log"))
TERMINATION_BYTES: Final = 4096


@dataclass(frozen=True)
class Report:
    """The end of one job. `backup` is what it made or tried."""

    kind: str
    ok: bool
    finished: str
    seconds: float
    backup: str = ""
    message: str = ""
    figures: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def at(self) -> datetime:
        """Return when the job ended."""
        return datetime.fromisoformat(self.finished)


def write(bucket: Bucket, report: Report) -> str:
    """Store a report and return its name."""
    name = f"{FOLDER}{report.kind}/{manifest.new_id(report.at)}.json"
    bucket.put(name, json.dumps(dataclasses.asdict(report), indent=1).encode() + b"\n", protect=False)
    return name


def read(bucket: Bucket, kind: str, newest: int | None = None) -> list[Report]:
    """Return reports of a kind, the oldest first. What isn't a report is left out, with a warning."""
    names = sorted(bucket.sizes(f"{FOLDER}{kind}/"))
    found = [load(bucket, name) for name in (names if newest is None else names[-newest:])]
    return [report for report in found if report and report.kind == kind]


def load(bucket: Bucket, name: str) -> Report | None:
    """Return one report; None, with a warning, if it isn't one."""
    try:
        report = Report(**json.loads(bucket.get(name)))
        if report.kind not in KINDS or not isinstance(report.ok, bool) or report.at.tzinfo is None:
            raise ValueError(f"kind {report.kind!r}, ok {report.ok!r}, finished {report.finished!r}")  # noqa: TRY301
    except (ValueError, TypeError) as error:
        LOG.warning("%s is not a report: %s", bucket.url(name), error)
        return None
    return report


def verified(bucket: Bucket) -> set[str]:
    """Return the ids of the backups that a drill has restored and checked."""
    return {report.backup for kind in DRILLS.values() for report in read(bucket, kind) if report.ok}


def tell(message: str) -> None:
    """Leave a message where Kubernetes reads it when the container ends."""
    try:
        TERMINATION_LOG.write_text(message[:TERMINATION_BYTES])
    except OSError as error:
        LOG.debug("no termination log: %s", error)


def end(bucket: Bucket, report: Report) -> None:
    """Tell how a job ended, wherever that can be told. Never fails: the job's own outcome counts."""
    tell(f"{report.kind}: {report.message}")
    try:
        write(bucket, report)
    except BackupError as error:
        LOG.warning("the report couldn't be stored: %s", error)


def since(begun: datetime) -> dict[str, Any]:
    """Return the times of a report."""
    now = datetime.now(UTC)
    return {"finished": now.isoformat(timespec="seconds"), "seconds": round((now - begun).total_seconds(), 3)}
