"""What goes in and out. Amounts are texts of plain digits: JSON's numbers would be rounded on the way."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Generic, Literal, TypeVar
from uuid import UUID

from ninja import Schema
from pydantic import ConfigDict, Field, StringConstraints

from ledger.models import Transfer
from markets.models import Market, Order, Trade
from markets.queries import Book, CandleRow
from wallet.queries import Balance

Item = TypeVar("Item")

MARKET_PATTERN = r"^[A-Z0-9]{2,10}-[A-Z0-9]{2,10}$"
DIGITS_PATTERN = r"^[0-9]{1,30}(\.[0-9]{1,30})?$"

MarketCode = Annotated[str, StringConstraints(pattern=MARKET_PATTERN), Field(examples=["BTC-USDC"])]
AssetCode = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9]{1,9}$"), Field(examples=["USDC"])]
AmountIn = Annotated[str, StringConstraints(pattern=DIGITS_PATTERN), Field(examples=["0.25"])]
# No control characters, and no blanks at the ends.
Destination = Annotated[
    str,
    StringConstraints(pattern=r"^[^\x00-\x20\x7f][^\x00-\x1f\x7f]{2,98}[^\x00-\x20\x7f]$"),
    Field(examples=["DE89 3704 0044 0532 0130 00"]),
]
Amount = Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]+)?$", examples=["0.25"])]


def digits(amount: Decimal) -> str:
    """Write an amount exactly, in plain digits without zeros at the end."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class Request(Schema):
    """A body: what isn't known is refused rather than ignored."""

    model_config = ConfigDict(extra="forbid")


class OrderIn(Request):
    """An order to place."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"market": "BTC-USDC", "side": "buy", "quantity": "0.25", "price": "50000.00"}]}
    )

    market: MarketCode
    side: Literal["buy", "sell"]
    quantity: AmountIn = Field(description="Of the base asset: a multiple of the market's lot size.")
    price: AmountIn | None = Field(None, description="A multiple of the tick size. Without a price: a market order.")


class DepositIn(Request):
    """A deposit to announce."""

    asset: AssetCode
    amount: AmountIn


class WithdrawalIn(Request):
    """A withdrawal to ask for."""

    asset: AssetCode
    amount: AmountIn
    destination: Destination = Field(description="A bank account or a wallet's address.")


class MarketOut(Schema):
    """What is traded for what, in which steps, at which fees."""

    code: str
    base: str
    quote: str
    tick_size: Amount
    lot_size: Amount
    maker_fee: Amount = Field(description="A share of what is received: 0.001 is 0.1 %.")
    taker_fee: Amount
    is_open: bool

    @classmethod
    def of(cls, market: Market) -> MarketOut:
        """Describe a market."""
        return cls(
            code=market.pk,
            base=market.base_id,
            quote=market.quote_id,
            tick_size=digits(market.tick_size),
            lot_size=digits(market.lot_size),
            maker_fee=digits(market.maker_fee),
            taker_fee=digits(market.taker_fee),
            is_open=market.is_open,
        )


class LevelOut(Schema):
    """All open orders of one price."""

    price: Amount
    quantity: Amount
    orders: int


class BookOut(Schema):
    """The best levels of both sides, best first."""

    market: str
    bids: list[LevelOut]
    asks: list[LevelOut]

    @classmethod
    def of(cls, market: Market, book: Book) -> BookOut:
        """Describe a book."""
        sides = [
            [
                LevelOut(price=digits(level.price), quantity=digits(level.quantity), orders=level.orders)
                for level in levels
            ]
            for levels in (book.bids, book.asks)
        ]
        return cls(market=market.pk, bids=sides[0], asks=sides[1])


class TradeOut(Schema):
    """A trade as everybody may see it."""

    id: int
    price: Amount
    quantity: Amount
    taker_side: Literal["buy", "sell"]
    created_at: datetime

    @classmethod
    def of(cls, trade: Trade) -> TradeOut:
        """Describe a trade."""
        return cls.model_validate(
            {
                "id": trade.pk,
                "price": digits(trade.price),
                "quantity": digits(trade.quantity),
                "taker_side": str(trade.taker_side),
                "created_at": trade.created_at,
            }
        )


class CandleOut(Schema):
    """What happened from `start` on, for the interval's length; volume of the base asset."""

    start: datetime
    open: Amount
    high: Amount
    low: Amount
    close: Amount
    volume: Amount
    trades: int

    @classmethod
    def of(cls, candle: CandleRow) -> CandleOut:
        """Describe a candle."""
        return cls(
            start=candle.start,
            open=digits(candle.open),
            high=digits(candle.high),
            low=digits(candle.low),
            close=digits(candle.close),
            volume=digits(candle.volume),
            trades=candle.trades,
        )


class FillOut(Schema):
    """A trade as the owner of one of its orders sees it."""

    id: int
    price: Amount
    quantity: Amount
    role: Literal["taker", "maker"]
    fee: Amount
    fee_asset: str
    created_at: datetime

    @classmethod
    def of(cls, trade: Trade, order: Order) -> FillOut:
        """Describe a trade from the order's side."""
        taken = trade.taker_order_id == order.pk
        market = order.market
        return cls(
            id=trade.pk,
            price=digits(trade.price),
            quantity=digits(trade.quantity),
            role="taker" if taken else "maker",
            fee=digits(trade.taker_fee if taken else trade.maker_fee),
            fee_asset=market.base_id if order.side == Order.Side.BUY else market.quote_id,
            created_at=trade.created_at,
        )


class OrderOut(Schema):
    """An order."""

    id: int
    market: str
    side: Literal["buy", "sell"]
    kind: Literal["limit", "market"]
    price: Amount | None
    quantity: Amount
    filled: Amount
    status: Literal["open", "filled", "cancelled"]
    reason: str = Field(description="Why its rest was cancelled; empty if it wasn't.")
    created_at: datetime
    closed_at: datetime | None

    @classmethod
    def of(cls, order: Order) -> OrderOut:
        """Describe an order."""
        return cls.model_validate(order_fields(order))


class OrderWithTrades(OrderOut):
    """An order and what it traded."""

    trades: list[FillOut]

    @classmethod
    def with_trades(cls, order: Order, trades: list[Trade]) -> OrderWithTrades:
        """Describe an order and its trades."""
        return cls.model_validate({**order_fields(order), "trades": [FillOut.of(trade, order) for trade in trades]})


def order_fields(order: Order) -> dict[str, object]:
    """Return what an answer says of an order."""
    return {
        "id": order.pk,
        "market": order.market_id,
        "side": str(order.side),
        "kind": str(order.kind),
        "price": None if order.price is None else digits(order.price),
        "quantity": digits(order.quantity),
        "filled": digits(order.filled),
        "status": str(order.status),
        "reason": str(order.reason),
        "created_at": order.created_at,
        "closed_at": order.closed_at,
    }


class BalanceOut(Schema):
    """What is owned of an asset."""

    asset: str
    available: Amount
    held: Amount
    total: Amount

    @classmethod
    def of(cls, balance: Balance) -> BalanceOut:
        """Describe a balance."""
        return cls(
            asset=balance.asset.pk,
            available=digits(balance.available),
            held=digits(balance.held),
            total=digits(balance.total),
        )


class TransferOut(Schema):
    """A deposit or a withdrawal."""

    id: UUID
    direction: Literal["deposit", "withdrawal"]
    asset: str
    amount: Amount
    destination: str
    state: Literal["pending", "confirmed", "rejected"]
    created_at: datetime
    decided_at: datetime | None

    @classmethod
    def of(cls, transfer: Transfer) -> TransferOut:
        """Describe a transfer."""
        return cls.model_validate(
            {
                "id": transfer.pk,
                "direction": str(transfer.direction),
                "asset": transfer.asset_id,
                "amount": digits(transfer.amount),
                "destination": transfer.destination,
                "state": str(transfer.state),
                "created_at": transfer.created_at,
                "decided_at": transfer.decided_at,
            }
        )


class Page(Schema, Generic[Item]):
    """A part of a list."""

    items: list[Item]
    next_cursor: str | None = Field(description="Asks for the next part; null: there is no more.")


class FieldError(Schema):
    """What is wrong with one field."""

    field: str
    message: str


class ProblemOut(Schema):
    """Problem details (RFC 9457)."""

    type: str = Field(examples=["about:blank"])
    title: str
    status: int
    detail: str
    code: str = Field(description="For programs.", examples=["insufficient-funds"])
    errors: list[FieldError] = Field(default=[], description="The fields that are wrong.")
    request_id: str = Field(default="", description="Names the request in our log.")
