"""What everybody may see: markets, books, trades, candles."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Annotated

from django.http import HttpRequest
from ninja import Path, Query, Router
from pydantic import WithJsonSchema

from api.paging import MAX_LIMIT, Cursor, Limit, decode_id, encode
from api.responses import problems
from api.schemas import MARKET_PATTERN, BookOut, CandleOut, MarketOut, Page, TradeOut
from markets import queries
from markets.errors import UnknownMarket
from markets.models import Candle, Market

router = Router(auth=None, tags=["Markets"])
# Described, not validated: what can't be a code is an unknown market, too.
CODE = WithJsonSchema({"type": "string", "pattern": MARKET_PATTERN, "example": "BTC-USDC"})
Code = Annotated[str, CODE, Path(description="A market's code.")]


class Interval(IntEnum):
    """Widths of candles, in seconds."""

    MINUTE = 60
    FIVE_MINUTES = 300
    HOUR = 3600
    DAY = 86_400


def find_market(code: str) -> Market:
    """Return a market.

    Raises:
        UnknownMarket: there is none with this code.
    """
    market = Market.objects.filter(pk=code).first() if re.fullmatch(MARKET_PATTERN, code, re.ASCII) else None
    if market is None:
        raise UnknownMarket("There is no such market.")
    return market


@router.get(
    "",
    response={200: Page[MarketOut], **problems()},
    operation_id="list_markets",
    url_name="markets",
    summary="List markets",
)
def list_markets(request: HttpRequest) -> Page[MarketOut]:
    """All markets, in one part."""
    return Page[MarketOut](items=[MarketOut.of(market) for market in Market.objects.all()], next_cursor=None)


@router.get(
    "/{code}",
    response={200: MarketOut, **problems(404)},
    operation_id="get_market",
    url_name="market",
    summary="Read a market",
)
def get_market(request: HttpRequest, code: Code) -> MarketOut:
    """One market."""
    return MarketOut.of(find_market(code))


@router.get(
    "/{code}/book",
    response={200: BookOut, **problems(404, 422)},
    operation_id="get_book",
    url_name="book",
    summary="Read an order book",
)
def get_book(
    request: HttpRequest,
    code: Code,
    levels: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Prices per side.")] = 20,
) -> BookOut:
    """The order book, best prices first."""
    market = find_market(code)
    return BookOut.of(market, queries.book(market, levels))


@router.get(
    "/{code}/trades",
    response={200: Page[TradeOut], **problems(404, 422)},
    operation_id="list_trades",
    url_name="trades",
    summary="List trades",
)
def list_trades(request: HttpRequest, code: Code, limit: Limit = 50, cursor: Cursor = None) -> Page[TradeOut]:
    """A market's trades, latest first."""
    found = queries.trades(find_market(code), decode_id(cursor), limit + 1)
    more = len(found) > limit
    return Page[TradeOut](
        items=[TradeOut.of(trade) for trade in found[:limit]],
        next_cursor=encode(str(found[limit - 1].pk)) if more else None,
    )


@router.get(
    "/{code}/candles",
    response={200: Page[CandleOut], **problems(404, 422)},
    operation_id="list_candles",
    url_name="candles",
    summary="List candles",
)
def list_candles(
    request: HttpRequest,
    code: Code,
    interval: Annotated[Interval, Query(description="Width in seconds.")] = Interval.HOUR,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many to return.")] = 200,
    cursor: Cursor = None,
) -> Page[CandleOut]:
    """Candles, oldest first; times without a trade are left out. The next part is older."""
    market = find_market(code)
    seconds = decode_id(cursor)
    before = None if seconds is None else datetime.fromtimestamp(min(seconds, 2**33), UTC)
    found = queries.candles(market, interval, limit, before)
    older = None
    if found:
        older = Candle.objects.filter(market=market, start__lt=found[0].start).order_by("-start").first()
    return Page[CandleOut](
        items=[CandleOut.of(candle) for candle in found],
        next_cursor=encode(str(int((older.start + timedelta(minutes=1)).timestamp()))) if older else None,
    )
