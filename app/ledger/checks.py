"""The invariants of the books, each as a query that finds what breaks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from django.db import connection, transaction

# By table, what keeps the books right while they are written. Foreign keys beside these are Django's own.
TRIGGERS: Final = {
    "ledger_asset": ("kept", "guard"),
    "ledger_account": ("kept", "guard"),
    "ledger_hold": ("kept", "guard"),
    "ledger_movement": ("append_only", "balances"),
    "ledger_posting": ("append_only", "apply_postings"),
    "ledger_transfer": ("kept", "guard"),
}
CONSTRAINTS: Final = {
    "ledger_asset": ("asset_decimals",),
    "ledger_account": ("account_once", "account_not_overdrawn", "account_of_customer_or_house", "account_is_a_number"),
    "ledger_hold": ("hold_not_overdrawn", "hold_is_a_number"),
    "ledger_movement": ("ledger_movement_key_key", "movement_has_two_sides"),
    "ledger_posting": (
        "posting_once",
        "posting_moves_something",
        "posting_is_a_number",
        "posting_in_asset_of_account",
        "posting_on_account_of_hold",
    ),
    "ledger_transfer": ("transfer_once", "transfer_amount", "transfer_is_a_number", "transfer_state", "transfer_hold"),
}


def guards(triggers: Mapping[str, Sequence[str]], constraints: Mapping[str, Sequence[str]]) -> str:
    """Return a query for triggers that are missing or disabled, and constraints that are missing or not validated."""
    wanted = [("trigger", table, name) for table, names in triggers.items() for name in names]
    wanted += [("constraint", table, name) for table, names in constraints.items() for name in names]
    return f"""
        SELECT format('%s %s on %s is missing or disabled', kind, name, relation)
        FROM (VALUES {", ".join(map(str, wanted))}) AS wanted (kind, relation, name)
        LEFT JOIN pg_trigger t ON kind = 'trigger' AND t.tgname = name AND t.tgrelid = to_regclass(relation)
            AND t.tgenabled IN ('O', 'A')
        LEFT JOIN pg_constraint c ON kind = 'constraint' AND c.conname = name AND c.conrelid = to_regclass(relation)
            AND c.convalidated
        WHERE t.oid IS NULL AND c.oid IS NULL
    """  # noqa: S608 - names of our own, written above and in other apps


# name of the invariant -> query whose rows are the violations, each one text
INVARIANTS: Final[dict[str, str]] = {
    "postings of a movement sum to zero per asset": """
        SELECT format('movement %s: %s %s', movement_id, sum(amount), asset_id) FROM ledger_posting
        GROUP BY movement_id, asset_id HAVING sum(amount) <> 0
    """,
    "a movement has as many postings as it says": """
        SELECT format('movement %s: %s of %s', m.id, count(p.id), m.lines) FROM ledger_movement m
        LEFT JOIN ledger_posting p ON p.movement_id = m.id GROUP BY m.id HAVING count(p.id) <> m.lines
    """,
    "a balance is the sum of the account's postings": """
        SELECT format('account %s: balance %s, postings %s', a.id, a.balance, coalesce(sum(p.amount), 0))
        FROM ledger_account a LEFT JOIN ledger_posting p ON p.account_id = a.id
        WHERE a.balance IS NOT NULL GROUP BY a.id HAVING a.balance <> coalesce(sum(p.amount), 0)
    """,
    "no customer's balance is negative": """
        SELECT format('account %s: %s', id, balance) FROM ledger_account WHERE balance < 0
    """,
    "no amount is finer than its asset": """
        SELECT format('posting %s: %s %s', p.id, p.amount, p.asset_id) FROM ledger_posting p
        JOIN ledger_asset s ON s.code = p.asset_id WHERE scale(trim_scale(p.amount)) > s.decimals
    """,
    "what remains of a hold is the sum of its postings": """
        SELECT format('hold %s: remaining %s, postings %s', h.id, h.remaining, coalesce(sum(p.amount), 0))
        FROM ledger_hold h LEFT JOIN ledger_posting p ON p.hold_id = h.id
        GROUP BY h.id HAVING h.remaining <> coalesce(sum(p.amount), 0) OR h.remaining < 0
    """,
    "a held balance is the sum of its holds": """
        SELECT format('account %s: balance %s, holds %s', a.id, a.balance, coalesce(sum(h.remaining), 0))
        FROM ledger_account a LEFT JOIN ledger_hold h ON h.account_id = a.id
        WHERE a.kind = 'held' GROUP BY a.id HAVING a.balance <> coalesce(sum(h.remaining), 0)
    """,
    "a withdrawal holds its amount while it is pending, and nothing after": """
        SELECT format('transfer %s: %s, held %s of %s', t.id, t.state, h.remaining, t.amount)
        FROM ledger_transfer t JOIN ledger_hold h ON h.id = t.hold_id
        WHERE h.remaining <> CASE t.state WHEN 'pending' THEN t.amount ELSE 0 END
    """,
    "a transfer moved its amount if it was confirmed, and only then": """
        SELECT format('transfer %s: %s, movement %s', t.id, t.state, coalesce(m.kind, 'none'))
        FROM ledger_transfer t LEFT JOIN ledger_movement m ON m.key = 'transfer:' || t.id
        LEFT JOIN ledger_posting p ON p.movement_id = m.id AND p.account_id IN (
            SELECT id FROM ledger_account WHERE kind = 'rail' AND asset_id = t.asset_id)
        WHERE (t.state = 'confirmed') IS DISTINCT FROM
            (m.kind = t.direction AND p.amount = CASE t.direction WHEN 'deposit' THEN -t.amount ELSE t.amount END)
            AND NOT (t.state <> 'confirmed' AND (m.id IS NULL OR m.kind = 'release'))
    """,
    "every deposit or withdrawal has its transfer": """
        SELECT format('movement %s: %s', m.id, m.key) FROM ledger_movement m
        LEFT JOIN ledger_transfer t ON m.key = 'transfer:' || t.id AND t.state = 'confirmed'
        WHERE m.kind IN ('deposit', 'withdrawal') AND t.id IS NULL
    """,
    "the database's guards are in place": guards(TRIGGERS, CONSTRAINTS),
}

# Those of every app: the others add theirs when they start.
ALL_INVARIANTS: Final = dict(INVARIANTS)


@dataclass(frozen=True)
class Violation:
    """Something that must never be."""

    invariant: str
    detail: str


def violations(invariants: Mapping[str, str] = ALL_INVARIANTS, limit_per_invariant: int = 20) -> list[Violation]:
    """Check invariants against one snapshot of the books; may run beside a live exchange."""
    found = []
    outermost = not connection.in_atomic_block
    with transaction.atomic(), connection.cursor() as cursor:
        if outermost:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute("SET LOCAL statement_timeout = 0")
        for invariant, query in invariants.items():
            cursor.execute(f"{query} LIMIT {limit_per_invariant:d}")
            found += [Violation(invariant, row[0]) for row in cursor.fetchall()]
    return found
