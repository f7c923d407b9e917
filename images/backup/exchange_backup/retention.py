"""Which backups are kept: grandfather, father, son. A pure function."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from exchange_backup.config import Retention


@dataclass(frozen=True)
class Point:
    """A good backup, and whether it has been restored and checked."""

    id: str
    taken: datetime
    verified: bool = False


# Each names the period that a time (UTC) lies in; ISO weeks begin on Monday.
PERIODS: Final[dict[str, Callable[[datetime], tuple[int, ...]]]] = {
    "hourly": lambda at: (at.year, at.month, at.day, at.hour),
    "daily": lambda at: (at.year, at.month, at.day),
    "weekly": lambda at: tuple(at.isocalendar()[:2]),
    "monthly": lambda at: (at.year, at.month),
    "yearly": lambda at: (at.year,),
}


def keep(points: Collection[Point], retention: Retention) -> dict[str, list[str]]:
    """Return the ids that are kept, each with its reasons.

    Of each kind the newest so many periods that have a backup count, whatever gaps lie between, and of each period its
    newest backup. The last verified backup is kept in any case, and so is the newest.
    """
    newest_first = sorted(points, key=lambda point: (point.taken, point.id), reverse=True)
    kept: dict[str, list[str]] = {}
    for kind, period_of in PERIODS.items():
        left: int = getattr(retention, kind)
        last: tuple[int, ...] | None = None
        for point in newest_first:
            period = period_of(point.taken.astimezone(UTC))
            if left == 0:
                break
            if period != last:
                kept.setdefault(point.id, []).append(kind)
                last = period
                left -= 1
    for point in newest_first[:1]:
        kept.setdefault(point.id, ["newest"])
    for point in [one for one in newest_first if one.verified][:1]:
        kept.setdefault(point.id, []).append("last verified")
    return kept
