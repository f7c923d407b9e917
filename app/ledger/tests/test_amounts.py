from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from ledger.amounts import format_amount, parse_amount
from ledger.errors import AmountError
from ledger.models import Asset

BTC = Asset(code="BTC", name="Bitcoin", decimals=8)
EUR = Asset(code="EUR", name="Euro", decimals=2)
ETH = Asset(code="ETH", name="Ether", decimals=18)
YEN = Asset(code="JPY", name="Yen", decimals=0)


@pytest.mark.parametrize(
    ("text", "asset", "expected"),
    [
        ("1", EUR, "1"),
        (" 0.10 ", EUR, "0.10"),
        ("0.00000001", BTC, "0.00000001"),
        ("1.500000000000", EUR, "1.5"),
        ("1000000000000", EUR, "1000000000000"),
        ("007", YEN, "7"),
        ("1000000000000", ETH, "1000000000000"),
        ("999999999999.999999999999999999", ETH, "999999999999.999999999999999999"),
    ],
)
def test_good_amounts(text: str, asset: Asset, expected: str) -> None:
    assert parse_amount(text, asset) == Decimal(expected)


@pytest.mark.parametrize(
    ("text", "asset", "message"),
    [
        ("", EUR, "in digits"),
        ("-1", EUR, "in digits"),
        ("+1", EUR, "in digits"),
        ("1e9", EUR, "in digits"),
        ("NaN", EUR, "in digits"),
        ("Infinity", EUR, "in digits"),
        ("1_000", EUR, "in digits"),
        ("1,50", EUR, "in digits"),
        (".5", EUR, "in digits"),
        ("1.", EUR, "in digits"),
        ("\N{ARABIC-INDIC DIGIT ONE}", EUR, "in digits"),
        ("1" * 31, EUR, "in digits"),
        ("0", EUR, "more than zero"),
        ("0.000", EUR, "more than zero"),
        ("0.001", EUR, "EUR has at most 2 decimals"),
        ("0.5", YEN, "JPY has at most 0 decimals"),
        ("99999999999.0000000000000000001", ETH, "ETH has at most 18 decimals"),
        ("0.000000001", BTC, "BTC has at most 8 decimals"),
        ("1000000000000.01", EUR, "at most 1,000,000,000,000 EUR"),
        ("9" * 30, BTC, "at most 1,000,000,000,000 BTC"),
    ],
)
def test_bad_amounts(text: str, asset: Asset, message: str) -> None:
    with pytest.raises(AmountError, match=message):
        parse_amount(text, asset)


@pytest.mark.parametrize(
    ("amount", "decimals", "expected"),
    [
        ("0", 8, "0.00"),
        ("1234567.8", 2, "1,234,567.80"),
        ("0.12345678", 8, "0.12345678"),
        ("0.10000000", 8, "0.10"),
        ("100", 0, "100"),
        ("1200", 0, "1,200"),
    ],
)
def test_amounts_are_written_exactly(amount: str, decimals: int, expected: str) -> None:
    assert format_amount(Decimal(amount), decimals) == expected


def test_every_thread_computes_exactly() -> None:
    largest = Decimal("99999999999999999999.999999999999999999")

    def squared() -> Decimal:
        return largest * largest

    with ThreadPoolExecutor() as threads:
        assert threads.submit(squared).result() == squared()
    assert squared() / largest == largest
    assert squared() % 10 == Decimal("0.000000000000000000000000000000000001")
