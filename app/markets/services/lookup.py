"""What an incoming order needs to know, read in one round trip after its market is locked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from accounts.models import User
from ledger.batch import Batch, Row
from ledger.models import Asset
from ledger.services.accounts import accounts_of
from markets.errors import UnknownMarket
from markets.matching import Resting
from markets.models import Market, Order

# How many resting orders are read at first, and at the most: most incoming orders meet one or two.
FIRST_READ: Final = 4
LARGEST_READ: Final = 512

MARKET_FIELDS: Final = tuple(field.attname for field in Market._meta.concrete_fields)  # noqa: SLF001 - Django's name for it
ASSET_FIELDS: Final = tuple(field.attname for field in Asset._meta.concrete_fields)  # noqa: SLF001

# Whoever has this lock has the market to itself.
LOCK_MARKET: Final = f"""
    SELECT {", ".join(f"m.{name}" for name in MARKET_FIELDS)},
        {", ".join(f"base.{name}" for name in ASSET_FIELDS)}, {", ".join(f"quote.{name}" for name in ASSET_FIELDS)}
    FROM markets_market m JOIN ledger_asset base ON base.code = m.base_id JOIN ledger_asset quote
        ON quote.code = m.quote_id
    WHERE m.code = %s FOR NO KEY UPDATE OF m
"""  # noqa: S608 - names of our own columns
# The customer can't be frozen from here on (see accounts.freezing). The order's id is drawn while the market is locked:
# on a market, ids grow in the order in which orders are matched.
CUSTOMER: Final = """
    SELECT frozen_at IS NOT NULL, clock_timestamp(), nextval('markets_order_id_seq'),
        (SELECT o.id FROM markets_order o WHERE o.user_id = u.id AND o.idempotency_key = %s)
    FROM accounts_user u WHERE u.id = %s FOR KEY SHARE OF u
"""
ACCOUNTS: Final = """
    SELECT a.kind, a.asset_id, a.id FROM ledger_account a JOIN markets_market m ON a.asset_id IN (m.base_id, m.quote_id)
    WHERE m.code = %s AND (a.owner_id = %s OR (a.owner_id IS NULL AND a.kind = 'fees'))
"""
# The other side of the book, best first; each order with its owner's accounts. LEFT JOINs, so that the order of the
# index is kept, and so that whatever is missing would be an error and not an order that is passed over.
BOOK: Final = {
    side: f"""
    SELECT o.id, o.user_id, o.price, o.quantity - o.filled, o.hold_id, h.account_id, a.id
    FROM markets_order o LEFT JOIN ledger_hold h ON h.id = o.hold_id LEFT JOIN ledger_account a
        ON a.owner_id = o.user_id AND a.kind = 'available'
        AND a.asset_id = (SELECT {paid_in} FROM markets_market WHERE code = %s)
    WHERE o.market_id = %s AND o.status = 'open' AND o.side = '{other}' AND {{beyond}}
    ORDER BY o.price {direction}, o.id LIMIT %s
    """  # noqa: S608 - written above
    for side, other, direction, paid_in in (
        (Order.Side.BUY, "sell", "ASC", "quote_id"),
        (Order.Side.SELL, "buy", "DESC", "base_id"),
    )
}
# What comes after the last order that was read; the first comparison lets the index find it.
BEYOND: Final = {
    Order.Side.BUY: "o.price >= %s AND (o.price > %s OR o.id > %s)",
    Order.Side.SELL: "o.price <= %s AND (o.price < %s OR o.id > %s)",
}


class AccountKey(NamedTuple):
    """An account's id and asset."""

    pk: int
    asset_id: str


@dataclass(frozen=True)
class Situation:
    """What an incoming order finds. Nobody else changes it before the transaction ends."""

    market: Market
    # The order that was placed by the same customer under the same key.
    placed_before: int | None
    frozen: bool
    now: datetime
    # The incoming order's.
    order_id: int
    # The customer's and the house's, by kind and asset.
    accounts: Mapping[tuple[str, str], AccountKey]
    other_side: Iterator[Resting]


def look_up(user: User, code: str, side: Order.Side, idempotency_key: str) -> Situation:
    """Lock the market, and then the customer against freezing; read everything else.

    Raises:
        UnknownMarket: there is none with this code.
    """
    batch = Batch()
    batch.add(LOCK_MARKET, code)
    batch.add(CUSTOMER, idempotency_key, user.pk)
    batch.add(ACCOUNTS, code, user.pk)
    batch.add(BOOK[side].format(beyond="true"), code, code, FIRST_READ)
    markets, [(frozen, now, order_id, placed_before)], accounts, first = batch.run()
    if not markets:
        raise UnknownMarket("There is no such market.")
    return Situation(
        market=_market(markets[0]),
        placed_before=placed_before,
        frozen=frozen,
        now=now,
        order_id=order_id,
        accounts={(kind, asset): AccountKey(pk, asset) for kind, asset, pk in accounts},
        other_side=_other_side(code, side, first),
    )


def open_accounts(user: User, market: Market) -> Mapping[tuple[str, str], AccountKey]:
    """Open the customer's accounts in a market's assets, and return them by kind and asset."""
    return {
        (account.kind, account.asset_id): AccountKey(account.pk, account.asset_id)
        for pair in accounts_of(user, [market.base_id, market.quote_id]).values()
        for account in (pair.available, pair.held)
    }


def _market(row: Row) -> Market:
    at, more = len(MARKET_FIELDS), len(ASSET_FIELDS)
    market = Market.from_db(None, MARKET_FIELDS, row[:at])
    market.base = Asset.from_db(None, ASSET_FIELDS, row[at : at + more])
    market.quote = Asset.from_db(None, ASSET_FIELDS, row[at + more :])
    return market


def _other_side(code: str, side: Order.Side, first: list[Row]) -> Iterator[Resting]:
    """Go through the open orders that an incoming one may meet, best first, reading on in growing portions."""
    portion, size = first, FIRST_READ
    while True:
        last: Resting | None = None
        for row in portion:
            last = Resting(*row)
            yield last
        if last is None or len(portion) < size:
            return
        size = min(size * 8, LARGEST_READ)
        batch = Batch()
        batch.add(BOOK[side].format(beyond=BEYOND[side]), code, code, last.price, last.price, last.id, size)
        (portion,) = batch.run()
