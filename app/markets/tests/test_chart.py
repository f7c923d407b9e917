from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from markets.chart import NARROW, WIDE, Chart, Layout, draw
from markets.queries import CandleRow

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
LAYOUTS = [WIDE, NARROW]


def candle(number: int, prices: tuple[str, str, str, str], volume: str = "1", width: int = 60) -> CandleRow:
    """Return the candle of a number: open, high, low, close."""
    start = START + timedelta(seconds=number * width)
    opened, high, low, closed = (Decimal(price) for price in prices)
    return CandleRow(start, opened, high, low, closed, Decimal(volume), trades=3)


def drawn(candles: list[CandleRow], layout: Layout = WIDE, last: str | None = None, width: int = 60) -> Chart:
    """Draw, with two decimals."""
    chart = draw(candles, width, layout, decimals=2, last=None if last is None else Decimal(last))
    assert chart is not None
    return chart


def many(count: int, step: int = 1) -> list[CandleRow]:
    """Return candles that go up and down."""
    shape = [0, 3, 7, 4, -2, -5, 1, 6]
    result = []
    for number in range(count):
        opened, closed = 100 + shape[number % 8], 100 + shape[(number + 1) % 8]
        prices = (str(opened), str(max(opened, closed) + 1), str(min(opened, closed) - 1), str(closed))
        result.append(candle(number * step, prices, str(number % 5 + 1)))
    return result


def test_nothing_to_draw() -> None:
    assert draw([], 60, WIDE, decimals=2) is None


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("count", [1, 2, 24, 80, 500])
def test_all_of_it_is_within_the_picture(layout: Layout, count: int) -> None:
    chart = drawn(many(count), layout, last="120.5")
    assert len(chart.bars) == min(count, layout.slots)
    assert 0 < chart.plot_right < layout.width
    assert chart.last
    for bar in chart.bars:
        assert 0 <= bar.left < bar.left + bar.width <= chart.plot_right + 0.1
        assert layout.top <= bar.wick_top <= bar.body_top <= bar.body_top + bar.body_height <= bar.wick_bottom
        assert bar.wick_bottom < bar.volume_top <= layout.plot_bottom
        assert bar.volume_top + bar.volume_height == pytest.approx(layout.plot_bottom, abs=0.1)
    for tick in [*chart.prices, chart.last]:
        assert layout.top <= tick.position <= layout.price_bottom
    for tick in chart.times:
        assert 0 < tick.position < chart.plot_right
    lefts = [bar.left for bar in chart.bars]
    assert lefts == sorted(set(lefts))


def test_the_newest_are_shown_at_the_right_edge() -> None:
    chart = drawn(many(500), WIDE)
    assert "2026-03-01 20:19 UTC" in chart.bars[-1].title
    slot = chart.plot_right / WIDE.slots
    assert chart.bars[-1].middle == pytest.approx(chart.plot_right - slot / 2, abs=0.1)


def test_a_gap_stays_empty() -> None:
    chart = drawn([candle(0, ("1", "2", "1", "2")), candle(10, ("2", "3", "2", "3")), candle(30, ("3", "4", "3", "4"))])
    first, second, third = (bar.middle for bar in chart.bars)
    assert third - second == pytest.approx(2 * (second - first), abs=0.3)


@pytest.mark.parametrize(
    ("prices", "direction", "body"),
    [
        (("10", "12", "9", "11"), "up", "tall"),
        (("11", "12", "9", "10"), "down", "tall"),
        (("10", "12", "9", "10"), "up", "a line"),
        (("10", "10", "10", "10"), "up", "a line"),
    ],
)
def test_bodies(prices: tuple[str, str, str, str], direction: str, body: str) -> None:
    bar = drawn([candle(0, prices)]).bars[0]
    assert bar.rising is (direction == "up")
    assert (bar.body_height == 1.0) is (body == "a line")


def test_higher_prices_are_higher_up_in_proportion() -> None:
    bars = drawn([candle(n, (p, p, p, p)) for n, p in enumerate(["100", "110", "130"])]).bars
    low, middle, high = (bar.wick_top for bar in bars)
    assert low > middle > high
    assert (middle - high) / (low - middle) == pytest.approx(2, abs=0.02)


@pytest.mark.parametrize(
    ("volumes", "shares"), [(["1", "2", "4"], [0.25, 0.5, 1]), (["0", "0", "0"], [0, 0, 0]), (["7"], [1])]
)
def test_volumes_are_in_proportion(volumes: list[str], shares: list[float]) -> None:
    bars = drawn([candle(n, ("1", "2", "1", "2"), volume) for n, volume in enumerate(volumes)]).bars
    assert [bar.volume_height / WIDE.volume_height for bar in bars] == pytest.approx(shares, abs=0.01)


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        ("100", "200", ["100.00", "120.00", "140.00", "160.00", "180.00", "200.00"]),
        ("49800", "50500", ["49,800.00", "49,900.00", "50,000.00", "50,100.00", "50,200.00", "50,300.00",
                            "50,400.00", "50,500.00"]),
        ("0.01", "0.01", ["0.01"]),
        ("0.01", "0.04", ["0.01", "0.02", "0.03", "0.04"]),
    ],
)  # fmt: skip
def test_prices_on_the_axis_are_round(low: str, high: str, labels: list[str]) -> None:
    assert [tick.label for tick in drawn([candle(0, (low, high, low, high))]).prices] == labels


@pytest.mark.parametrize("decimals", [0, 2, 5, 8])
@pytest.mark.parametrize("price", ["0.00000001", "0.06012", "1", "999999999999"])
def test_any_price_can_be_drawn(price: str, decimals: int) -> None:
    chart = draw([candle(0, (price,) * 4)], 60, NARROW, decimals=decimals, last=Decimal(price) * 3)
    assert chart
    labels = [tick.label for tick in chart.prices if tick.label]
    assert len(labels) == len(set(labels)) <= NARROW.price_ticks + 1


@pytest.mark.parametrize(
    ("width", "count", "labels"),
    [
        (60, 80, ["12:15", "12:30", "12:45", "13:00", "13:15"]),
        (300, 80, ["14:00", "16:00", "18:00"]),
        (3600, 80, ["Mar 2", "Mar 3", "Mar 4"]),
        (86_400, 80, ["Mar 12", "Mar 26", "Apr 9", "Apr 23", "May 7"]),
    ],
)
def test_times_on_the_axis_are_round(width: int, count: int, labels: list[str]) -> None:
    candles = [candle(number, ("1", "2", "1", "2"), width=width) for number in range(count)]
    assert [tick.label for tick in drawn(candles, width=width).times] == labels


def test_what_a_reader_hears() -> None:
    chart = drawn([candle(0, ("10", "12", "9", "11"), "2.50"), candle(1, ("11", "15", "10", "14"))])
    assert chart.summary == (
        "2 candles from 2026-03-01 12:00 to 2026-03-01 12:02 UTC: opened at 10.00, closed at 14.00, lowest 9.00, "
        "highest 15.00"
    )
    assert chart.bars[0].title == (
        "2026-03-01 12:00 UTC\nOpen 10.00\nHigh 12.00\nLow 9.00\nClose 11.00 (+10.00 %)\nVolume 2.5\nTrades 3"
    )


def test_the_last_price_has_a_line_even_beyond_the_candles() -> None:
    chart = drawn([candle(0, ("10", "12", "9", "11"))], last="20")
    assert chart.last
    assert chart.last.label == "20.00"
    assert chart.last.position < chart.bars[0].wick_top
    written = {tick.label: tick.position for tick in chart.prices}
    assert "18.00" in written
    assert "20.00" not in written, "nothing is written below the last price"
    assert drawn([candle(0, ("10", "12", "9", "11"))]).last is None
