"""Several statements in one round trip."""

from __future__ import annotations

import logging

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.transaction import TransactionManagementError

from ledger.batch import Batch

INSERT = "INSERT INTO ledger_asset (code, name, decimals) VALUES (%s, 'Some', 2)"


def test_rows_of_each_statement(db: None) -> None:
    del db
    batch = Batch()
    made = batch.add(f"{INSERT} RETURNING name", "AAA")
    nothing = batch.add("UPDATE ledger_asset SET name = %s WHERE code = %s", "Other", "AAA")
    seen = batch.add("SELECT code, name FROM ledger_asset WHERE code = ANY(%s)", ["AAA", "BBB"])
    rows = batch.run()
    assert (rows[made], rows[nothing], rows[seen]) == ([("Some",)], [], [("AAA", "Other")])


@pytest.mark.parametrize("more", [0, 2_000])
def test_the_first_error_is_told(db: None, caplog: pytest.LogCaptureFixture, more: int) -> None:
    del db
    batch = Batch()
    batch.add(INSERT, "not a code")
    # So many that the answer to the first comes while others are still being sent.
    for _ in range(more):
        batch.add("SELECT 1")
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(IntegrityError, match="asset_code"),
        transaction.atomic(),
    ):
        batch.run()
    assert not caplog.records
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM ledger_asset WHERE name = 'Some'")
        assert cursor.fetchone() == (0,)


def test_after_an_error_the_transaction_is_over(db: None) -> None:
    del db
    batch = Batch()
    batch.add(INSERT, "not a code")
    with transaction.atomic():
        with pytest.raises(IntegrityError), transaction.atomic(savepoint=False):
            batch.run()
        with pytest.raises(TransactionManagementError):
            batch.run()
        transaction.set_rollback(True)


def test_empty_batch_does_nothing(db: None) -> None:
    del db
    assert Batch().run() == []


def test_each_statement_sees_what_is_committed_whatever_the_servers_default(db: None) -> None:
    del db
    own = connection.copy()
    try:
        with own.cursor() as cursor:
            cursor.execute("SET default_transaction_isolation = 'repeatable read'")
            own.set_autocommit(False)
            cursor.execute("SHOW transaction_isolation")
            assert cursor.fetchone() == ("read committed",)
            own.rollback()
    finally:
        own.close()
