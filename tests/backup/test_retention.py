"""Which backups are kept: tables over ten years with gaps, and properties of any history."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from exchange_backup.config import Retention
from exchange_backup.retention import Point, keep
from hypothesis import given
from hypothesis import strategies as st

BEGIN = datetime(2020, 1, 1, 3, 0, tzinfo=UTC)
NONE = Retention(0, 0, 0, 0, 0)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def days(first: datetime, last: datetime, every: timedelta = timedelta(days=1)) -> Iterator[datetime]:
    while first <= last:
        yield first
        first += every


def points(times: Iterator[datetime] | list[datetime], verified: tuple[str, ...] = ()) -> list[Point]:
    named = ((f"{time:%Y-%m-%dT%H}", time) for time in times)
    return [Point(name, time, name in verified) for name, time in named]


# Ten years of a backup each night at 3, without the whole of March 2024, the last week of 2025 and all of 2027.
GAPS = [
    (at("2024-03-01"), at("2024-04-01")),
    (at("2025-12-25"), at("2026-01-01")),
    (at("2027-01-01"), at("2028-01-01")),
]
NIGHTLY = [time for time in days(BEGIN, at("2029-12-31T03")) if not any(first <= time < last for first, last in GAPS)]


@pytest.mark.parametrize(
    ("retention", "kept"),
    [
        (Retention(0, 1, 0, 0, 0), ["2029-12-31"]),
        (Retention(0, 3, 0, 0, 0), ["2029-12-29", "2029-12-30", "2029-12-31"]),
        # 2029-12-31 is a Monday: its week has just begun.
        (Retention(0, 0, 3, 0, 0), ["2029-12-23", "2029-12-30", "2029-12-31"]),
        (Retention(0, 0, 0, 3, 0), ["2029-10-31", "2029-11-30", "2029-12-31"]),
        # 2027 has none, so it doesn't count.
        (Retention(0, 0, 0, 0, 4), ["2025-12-24", "2026-12-31", "2028-12-31", "2029-12-31"]),
        (Retention(0, 0, 0, 0, 99), [
            "2020-12-31", "2021-12-31", "2022-12-31", "2023-12-31", "2024-12-31",
            "2025-12-24", "2026-12-31", "2028-12-31", "2029-12-31",
        ]),
        (Retention(0, 2, 2, 2, 2), ["2028-12-31", "2029-11-30", "2029-12-30", "2029-12-31"]),
        (NONE, ["2029-12-31"]),
    ],
)  # fmt: skip
def test_ten_years_with_gaps(retention: Retention, kept: list[str]) -> None:
    assert sorted(name[:10] for name in keep(points(NIGHTLY), retention)) == kept


@pytest.mark.parametrize(
    ("now", "kept"),
    [
        # The month without backups takes no place in the count.
        ("2024-04-02", ["2024-01-31", "2024-02-29", "2024-04-02"]),
        # Nor does the year without: of December 2026 its last, of January 2028 the newest.
        ("2028-01-05", ["2026-11-30", "2026-12-31", "2028-01-05"]),
        ("2026-01-01", ["2025-11-30", "2025-12-24", "2026-01-01"]),
    ],
)
def test_a_gap_takes_no_place(now: str, kept: list[str]) -> None:
    until = [time for time in NIGHTLY if time < at(now) + timedelta(days=1)]
    assert sorted(name[:10] for name in keep(points(until), Retention(0, 0, 0, 3, 0))) == kept


def test_hours_count_by_the_clock_of_utc() -> None:
    times = list(days(at("2026-05-01T00"), at("2026-05-01T06"), timedelta(minutes=20)))
    made = [Point(f"{time:%H%M}", time) for time in times]
    assert sorted(keep(made, Retention(2, 0, 0, 0, 0))) == ["0540", "0600"]


def test_an_iso_week_may_lie_in_two_years() -> None:
    times = [at("2024-12-29T03"), at("2024-12-30T03"), at("2025-01-05T03")]
    assert sorted(keep(points(times), Retention(0, 0, 2, 0, 0))) == ["2024-12-29T03", "2025-01-05T03"]


def test_the_last_verified_is_kept_however_old() -> None:
    kept = keep(points(NIGHTLY, ("2021-06-01T03", "2021-06-02T03")), Retention(0, 1, 0, 0, 0))
    assert kept == {"2029-12-31T03": ["daily"], "2021-06-02T03": ["last verified"]}


def test_ten_years_of_pruning_every_night_keep_what_one_look_at_all_would() -> None:
    retention = Retention(0, 7, 5, 12, 3)
    held: list[Point] = []
    for point in points(NIGHTLY):
        held = [*held, point]
        kept = keep(held, retention)
        held = [one for one in held if one.id in kept]
        assert len(held) <= 7 + 5 + 12 + 3
    assert {one.id for one in held} == set(keep(points(NIGHTLY), retention))


HISTORIES = st.lists(
    st.builds(
        lambda hours, verified: Point(f"{hours:06d}", BEGIN + timedelta(hours=hours), verified),
        st.integers(0, 24 * 3650),
        st.booleans(),
    ),
    unique_by=lambda point: point.id,
    max_size=60,
)
COUNTS = st.builds(Retention, *[st.integers(0, 6)] * 5)


@given(HISTORIES, COUNTS)
def test_the_newest_and_the_last_verified_are_always_kept(history: list[Point], retention: Retention) -> None:
    kept = keep(history, retention)
    assert set(kept) <= {point.id for point in history}
    if history:
        assert max(history, key=lambda point: point.taken).id in kept
    verified = [point for point in history if point.verified]
    if verified:
        assert max(verified, key=lambda point: point.taken).id in kept


@given(HISTORIES, COUNTS)
def test_pruning_twice_is_pruning_once(history: list[Point], retention: Retention) -> None:
    kept = keep(history, retention)
    assert keep([point for point in history if point.id in kept], retention) == kept


@given(HISTORIES, COUNTS, st.randoms())
def test_order_doesn_t_matter(history: list[Point], retention: Retention, random: object) -> None:
    shuffled = list(history)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert keep(shuffled, retention) == keep(history, retention)


@given(HISTORIES, COUNTS, COUNTS)
def test_who_keeps_more_keeps_the_same_and_more(history: list[Point], one: Retention, other: Retention) -> None:
    pairs = zip(
        (one.hourly, one.daily, one.weekly, one.monthly, one.yearly),
        (other.hourly, other.daily, other.weekly, other.monthly, other.yearly),
        strict=True,
    )
    assert set(keep(history, one)) <= set(keep(history, Retention(*(max(pair) for pair in pairs))))


@given(HISTORIES, COUNTS)
def test_no_more_is_kept_than_was_asked_for(history: list[Point], retention: Retention) -> None:
    asked = retention.hourly + retention.daily + retention.weekly + retention.monthly + retention.yearly
    assert len(keep(history, retention)) <= max(asked, 1) + 1
