"""A candlestick chart: from candles to what an SVG consists of, as a pure function.

Coordinates are SVG units from the top left corner. Colours are the style sheet's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

from markets.queries import CandleRow

DAY: Final = 86_400
# Steps between two times on the axis, in seconds.
TIME_STEPS: Final = (
    60, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 28 * DAY, 91 * DAY,
)  # fmt: skip
# A chart of a single candle is no wall.
FEWEST_SLOTS: Final = 24


@dataclass(frozen=True)
class Layout:
    """How large a chart is and how its parts share the room."""

    width: int
    height: int
    # How many candles it has room for.
    slots: int
    price_ticks: int
    time_ticks: int
    # Room for what is written at the bottom, and for half a line at the top.
    bottom: int = 24
    top: int = 12
    # What part of the plot's height the volumes take.
    volume_share: float = 0.18

    @property
    def plot_bottom(self) -> int:
        """Where the plot ends."""
        return self.height - self.bottom

    @property
    def volume_height(self) -> float:
        """How tall the bar of the largest volume is."""
        return (self.plot_bottom - self.top) * self.volume_share

    @property
    def price_bottom(self) -> float:
        """Where the lowest price may lie: just above the volumes."""
        return self.plot_bottom - self.volume_height - 8


WIDE: Final = Layout(width=640, height=560, slots=80, price_ticks=10, time_ticks=6)
NARROW: Final = Layout(width=343, height=300, slots=40, price_ticks=7, time_ticks=4)
# How wide a digit is, roughly, in the style sheet's size; and the room on both sides of a price.
DIGIT_WIDTH: Final = 7.5
LABEL_PADDING: Final = 12
LINE_HEIGHT: Final = 14


@dataclass(frozen=True)
class Bar:
    """One candle: its body, its wick, and its volume below."""

    left: float
    width: float
    middle: float
    body_top: float
    body_height: float
    wick_top: float
    wick_bottom: float
    volume_top: float
    volume_height: float
    rising: bool
    title: str


@dataclass(frozen=True)
class Tick:
    """A line across the plot, and what is written beside it."""

    position: float
    label: str


@dataclass(frozen=True)
class Chart:
    """All that is drawn."""

    layout: Layout
    # Where the plot ends and the prices are written.
    plot_right: float
    bars: list[Bar]
    prices: list[Tick]
    times: list[Tick]
    last: Tick | None
    summary: str

    @property
    def label_x(self) -> float:
        """Where prices begin."""
        return self.plot_right + LABEL_PADDING / 2

    @property
    def label_width(self) -> float:
        """How much room they have, the padding included."""
        return self.layout.width - self.plot_right


def draw(
    candles: Sequence[CandleRow],
    interval_seconds: int,
    layout: Layout,
    *,
    decimals: int,
    last: Decimal | None = None,
) -> Chart | None:
    """Lay out the latest candles that the layout has room for.

    Args:
        candles: oldest first; times without a trade are left out, and stay empty in the chart.
        interval_seconds: the width of a candle.
        layout: sizes.
        decimals: how many decimals a price is written with.
        last: the last price, which may be newer than the last candle; it gets a line of its own.

    Returns:
        The chart, or None if there are no candles.
    """
    if not candles:
        return None
    width = timedelta(seconds=interval_seconds)
    end = candles[-1].start + width
    shown = [candle for candle in candles if candle.start >= end - width * layout.slots]
    lows, highs = [candle.low for candle in shown], [candle.high for candle in shown]
    prices = [price for price in (min(lows), max(highs), last) if price is not None]
    scale = _Scale(min(prices), max(prices), layout.top, layout.price_bottom)
    labels = [
        Tick(scale.y(price), f"{price:,.{decimals}f}") for price in price_ticks(scale, layout.price_ticks, decimals)
    ]
    last_label = None if last is None else Tick(scale.y(last), f"{last:,.{decimals}f}")
    if last_label:
        # What would be written below the last price isn't.
        labels = [
            Tick(tick.position, tick.label if abs(tick.position - last_label.position) > LINE_HEIGHT else "")
            for tick in labels
        ]
    longest = max((len(tick.label) for tick in [*labels, *([last_label] if last_label else [])]), default=0)
    plot_right = layout.width - LABEL_PADDING - longest * DIGIT_WIDTH
    slots = min(layout.slots, max(FEWEST_SLOTS, (end - shown[0].start) // width))
    start, slot = end - width * slots, plot_right / slots
    largest = max(candle.volume for candle in shown)
    bars = [
        _bar(candle, (candle.start - start) / width * slot, slot, scale, layout, largest, decimals) for candle in shown
    ]
    return Chart(
        layout=layout,
        plot_right=plot_right,
        bars=bars,
        prices=labels,
        times=_times(start, end, plot_right, layout.time_ticks),
        last=last_label,
        summary=(
            f"{len(shown)} candles from {shown[0].start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC: "
            f"opened at {shown[0].open:,.{decimals}f}, closed at {shown[-1].close:,.{decimals}f}, "
            f"lowest {min(lows):,.{decimals}f}, highest {max(highs):,.{decimals}f}"
        ),
    )


class _Scale:
    """Maps prices to heights."""

    def __init__(self, low: Decimal, high: Decimal, top: float, bottom: float) -> None:
        # One price alone has no range: it goes to the middle of one that is made up.
        room = (high - low) / 20 if high > low else high / 100
        self.low, self.high, self.top, self.bottom = low - room, high + room, top, bottom

    def y(self, price: Decimal) -> float:
        """Return the height of a price."""
        return round(self.bottom - float((price - self.low) / (self.high - self.low)) * (self.bottom - self.top), 1)


def price_ticks(scale: _Scale, at_most: int, decimals: int) -> list[Decimal]:
    """Return round prices within the scale, not more than so many, each different with so many decimals."""
    rough = max((scale.high - scale.low) / at_most, Decimal(1).scaleb(-decimals))
    power = Decimal(1).scaleb(rough.adjusted())
    factors = (Decimal(1), Decimal(2), Decimal(5), Decimal(10))
    step = next(factor * power for factor in factors if factor * power >= rough)
    first = (scale.low / step).to_integral_value(ROUND_CEILING)
    final = (scale.high / step).to_integral_value(ROUND_FLOOR)
    return [step * number for number in range(int(first), int(final) + 1)]


def _bar(  # noqa: PLR0913, PLR0917 - private, and called once
    candle: CandleRow, left: float, slot: float, scale: _Scale, layout: Layout, largest: Decimal, decimals: int
) -> Bar:
    width = max(1.0, min(slot * 0.7, 14))
    top, bottom = scale.y(max(candle.open, candle.close)), scale.y(min(candle.open, candle.close))
    volume = float(candle.volume / largest) * layout.volume_height if largest else 0.0
    change = (candle.close / candle.open - 1) * 100
    return Bar(
        left=round(left + (slot - width) / 2, 1),
        width=round(width, 1),
        middle=round(left + slot / 2, 1),
        body_top=top,
        # A candle that closed where it opened is a line.
        body_height=round(max(1.0, bottom - top), 1),
        wick_top=scale.y(candle.high),
        wick_bottom=scale.y(candle.low),
        volume_top=round(layout.plot_bottom - volume, 1),
        volume_height=round(volume, 1),
        rising=candle.close >= candle.open,
        title=(
            f"{candle.start:%Y-%m-%d %H:%M} UTC\n"
            f"Open {candle.open:,.{decimals}f}\nHigh {candle.high:,.{decimals}f}\n"
            f"Low {candle.low:,.{decimals}f}\nClose {candle.close:,.{decimals}f} ({change:+.2f} %)\n"
            f"Volume {candle.volume.normalize():,f}\nTrades {candle.trades:,}"
        ),
    )


def _times(start: datetime, end: datetime, plot_right: float, at_most: int) -> list[Tick]:
    """Return round times, so that they have room beside each other and none is cut off at an edge."""
    seconds = (end - start).total_seconds()
    step = next((step for step in TIME_STEPS if seconds / step <= at_most), TIME_STEPS[-1])
    first = int(-(-start.timestamp() // step)) * step
    ticks = []
    for stamp in range(first, int(end.timestamp()), step):
        x = round((stamp - start.timestamp()) / seconds * plot_right, 1)
        if 20 <= x <= plot_right - 20:  # noqa: PLR2004 - half a label
            moment = datetime.fromtimestamp(stamp, UTC)
            day = step >= DAY or stamp % DAY == 0
            ticks.append(Tick(x, f"{moment:%b} {moment.day}" if day else f"{moment:%H:%M}"))
    return ticks
