"""The markets' invariants, each as a query that finds what breaks it; see ledger.checks."""

from typing import Final

from ledger.checks import guards

TRIGGERS: Final = {
    "markets_market": ("kept", "guard"),
    "markets_order": ("kept", "guard", "backed"),
    "markets_trade": ("append_only", "guard"),
    "ledger_hold": ("backs_order",),
}
CONSTRAINTS: Final = {
    "markets_market": ("market_steps", "market_fees", "market_of_two_assets", "market_of_numbers"),
    "markets_order": (
        "order_once",
        "order_side",
        "order_price",
        "order_quantity",
        "order_status",
        "order_of_numbers",
        "markets_order_hold_id_key",
    ),
    "markets_trade": ("trade_amounts", "trade_fees", "trade_side", "trade_of_numbers", "markets_trade_movement_id_key"),
}

INVARIANTS: Final[dict[str, str]] = {
    "no book is crossed": """
        SELECT format('%s: bid %s, ask %s', bid.market_id, max(bid.price), ask.price)
        FROM (SELECT market_id, min(price) AS price FROM markets_order WHERE status = 'open' AND side = 'sell'
            GROUP BY market_id) ask
        JOIN markets_order bid ON bid.market_id = ask.market_id AND bid.status = 'open' AND bid.side = 'buy'
            AND bid.price >= ask.price
        GROUP BY bid.market_id, ask.price
    """,
    "an order is filled by its trades": """
        SELECT format('order %s: filled %s, trades %s', o.id, o.filled, coalesce(t.total, 0))
        FROM markets_order o LEFT JOIN (
            SELECT order_id, sum(quantity) AS total FROM (
                SELECT taker_order_id AS order_id, quantity FROM markets_trade
                UNION ALL SELECT maker_order_id, quantity FROM markets_trade) sides
            GROUP BY order_id) t ON t.order_id = o.id
        WHERE o.filled <> coalesce(t.total, 0)
    """,
    "an open order holds what it may cost, a closed one nothing": """
        SELECT format('order %s: %s, held %s', o.id, o.status, h.remaining)
        FROM markets_order o JOIN ledger_hold h ON h.id = o.hold_id
        WHERE h.remaining <> CASE WHEN o.status <> 'open' THEN 0
            WHEN o.side = 'buy' THEN (o.quantity - o.filled) * o.price ELSE o.quantity - o.filled END
    """,
    "an order's hold is on its owner's account in what it pays with": """
        SELECT format('order %s: hold %s', o.id, o.hold_id)
        FROM markets_order o JOIN markets_market m ON m.code = o.market_id
        JOIN ledger_hold h ON h.id = o.hold_id JOIN ledger_account a ON a.id = h.account_id
        WHERE h.purpose <> 'order' OR a.owner_id <> o.user_id
            OR a.asset_id <> CASE o.side WHEN 'buy' THEN m.quote_id ELSE m.base_id END
    """,
    "every hold for an order has its order": """
        SELECT format('hold %s', h.id) FROM ledger_hold h LEFT JOIN markets_order o ON o.hold_id = h.id
        WHERE h.purpose = 'order' AND o.id IS NULL
    """,
    "a trade moved what it says": """
        SELECT format('trade %s: movement %s', t.id, t.movement_id)
        FROM markets_trade t
        JOIN markets_market m ON m.code = t.market_id
        JOIN markets_order taker ON taker.id = t.taker_order_id
        JOIN markets_order maker ON maker.id = t.maker_order_id
        JOIN ledger_movement v ON v.id = t.movement_id
        CROSS JOIN LATERAL (
            SELECT t.price * t.quantity AS quote_amount,
                CASE t.taker_side WHEN 'buy' THEN t.taker_fee ELSE t.maker_fee END AS base_fee,
                CASE t.taker_side WHEN 'buy' THEN t.maker_fee ELSE t.taker_fee END AS quote_fee,
                CASE t.taker_side WHEN 'buy' THEN taker.user_id ELSE maker.user_id END AS buyer,
                CASE t.taker_side WHEN 'buy' THEN maker.user_id ELSE taker.user_id END AS seller) want
        CROSS JOIN LATERAL (
            SELECT
                coalesce(sum(p.amount) FILTER (WHERE a.owner_id = buyer AND is_base), 0) AS buyer_base,
                coalesce(sum(p.amount) FILTER (WHERE a.owner_id = buyer AND NOT is_base), 0) AS buyer_quote,
                coalesce(sum(p.amount) FILTER (WHERE a.owner_id = seller AND is_base), 0) AS seller_base,
                coalesce(sum(p.amount) FILTER (WHERE a.owner_id = seller AND NOT is_base), 0) AS seller_quote,
                coalesce(sum(p.amount) FILTER (WHERE a.kind = 'fees' AND is_base), 0) AS house_base,
                coalesce(sum(p.amount) FILTER (WHERE a.kind = 'fees' AND NOT is_base), 0) AS house_quote
            FROM ledger_posting p JOIN ledger_account a ON a.id = p.account_id
            CROSS JOIN LATERAL (SELECT p.asset_id = m.base_id AS is_base) side
            WHERE p.movement_id = t.movement_id) got
        WHERE v.kind <> 'trade' OR (buyer_base, buyer_quote, seller_base, seller_quote, house_base, house_quote)
            IS DISTINCT FROM (t.quantity - base_fee, -quote_amount, -t.quantity, quote_amount - quote_fee,
                base_fee, quote_fee)
    """,
    "every movement of a trade has its trade": """
        SELECT format('movement %s: %s', m.id, m.key) FROM ledger_movement m
        LEFT JOIN markets_trade t ON t.movement_id = m.id WHERE m.kind = 'trade' AND t.id IS NULL
    """,
    "a trade is between two orders that agree on it": """
        SELECT format('trade %s: taker %s, maker %s', t.id, taker.id, maker.id)
        FROM markets_trade t JOIN markets_order taker ON taker.id = t.taker_order_id
        JOIN markets_order maker ON maker.id = t.maker_order_id
        WHERE taker.market_id <> t.market_id OR maker.market_id <> t.market_id OR taker.side <> t.taker_side
            OR maker.side = taker.side OR maker.user_id = taker.user_id OR maker.id >= taker.id
            OR maker.price <> t.price
            OR (taker.side = 'buy' AND taker.price < t.price) OR (taker.side = 'sell' AND taker.price > t.price)
    """,
    "a candle says what the trades of its minute say": """
        SELECT format('%s %s: candle of %s trades, %s trades', market_id, start, coalesce(c.trades, 0),
            coalesce(t.trades, 0))
        FROM markets_candle c FULL JOIN (
            SELECT t.market_id, date_bin('1 minute', t.created_at, 'epoch') AS start,
                (array_agg(t.price ORDER BY t.id))[1] AS open, max(t.price) AS high, min(t.price) AS low,
                (array_agg(t.price ORDER BY t.id DESC))[1] AS close, sum(t.quantity) AS volume, count(*) AS trades
            FROM markets_trade t JOIN markets_candleprogress p ON p.market_id = t.market_id AND t.id <= p.trade_id
            GROUP BY 1, 2) t USING (market_id, start)
        WHERE (c.open, c.high, c.low, c.close, c.volume, c.trades)
            IS DISTINCT FROM (t.open, t.high, t.low, t.close, t.volume, t.trades)
    """,
    "the markets' guards are in place": guards(TRIGGERS, CONSTRAINTS),
}
