from __future__ import annotations

import pytest

from operations.requests import request_id


@pytest.mark.parametrize("received", ["0123abcd", "9f86d081-884c-4d63-a2b4-1d5a6f1e2c3b", "a.b_c-12345", "x" * 128])
def test_sane_id_is_kept(received: str) -> None:
    assert request_id(received) == received


@pytest.mark.parametrize(
    "received",
    [None, "", "short", "x" * 129, "-leading-dash", 'a"b\\c12345', "a b c d e f g", "id\n12345678", "ünïcödé-id-123"],
)
def test_anything_else_is_replaced(received: str | None) -> None:
    first, second = request_id(received), request_id(received)
    assert len(first) == 32
    assert first != second
