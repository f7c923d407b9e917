"""However many orders wait, an incoming one reads a handful of pages."""

from __future__ import annotations

from decimal import Decimal

from django.db import connection

from ledger.checks import violations
from testing.books import analyze, book_reads, explain, fill_book

MARKET, MIDDLE, ORDERS = "BTC-USDC", Decimal(100), 4_000
# Of one side half of the orders wait at 1,000 prices: a page's 20 levels have 40 orders.
MOST_PAGES = {"order": 60, "page": 150}


def test_reading_the_book_does_not_depend_on_its_depth(db: None) -> None:
    del db
    fill_book(MARKET, ORDERS, MIDDLE)
    analyze()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
    assert violations() == []
    reads = book_reads(MARKET)
    assert len(reads) == 4
    for name, (statement, values) in reads.items():
        plan = explain(statement, values)["Plan"]
        most = MOST_PAGES["order" if "order" in name else "page"]
        assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= most, plan
        assert "'Index Name': 'order_asks'" in str(plan) or "'Index Name': 'order_bids'" in str(plan)
