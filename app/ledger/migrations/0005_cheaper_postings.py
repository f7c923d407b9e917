"""The same rules for postings, at a lower price.

- A posting's account, asset and hold each had a foreign key of their own beside the two that pair them: (account,
  asset) and (hold, account). The pairs say all of it, and keep transactions from locking the same few rows of assets.
- A movement that takes from no hold looks for none, and a movement is counted and summed up in one go.
- Rows that are updated all the time get room on their pages, so that an update needn't touch an index.
"""

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models

FORWARD = """
CREATE OR REPLACE FUNCTION ledger_apply_postings() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    problem text;
BEGIN
    SELECT format('line %s of movement %s: ', p.line, p.movement_id) || CASE
        WHEN p.line > m.lines THEN format('the movement is complete with %s lines', m.lines)
        WHEN scale(trim_scale(p.amount)) > s.decimals THEN format('%s has %s decimals', p.asset_id, s.decimals)
        ELSE 'a hold goes with a held account, and only with one'
    END INTO problem
    FROM new_postings p
    JOIN ledger_movement m ON m.id = p.movement_id
    JOIN ledger_account a ON a.id = p.account_id
    JOIN ledger_asset s ON s.code = p.asset_id
    WHERE p.line > m.lines OR scale(trim_scale(p.amount)) > s.decimals OR (p.hold_id IS NULL) = (a.kind = 'held')
    ORDER BY p.movement_id, p.line LIMIT 1;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION '%', problem USING ERRCODE = 'integrity_constraint_violation';
    END IF;

    PERFORM FROM ledger_account
    WHERE id IN (SELECT account_id FROM new_postings) AND balance IS NOT NULL ORDER BY id FOR NO KEY UPDATE;
    UPDATE ledger_account a SET balance = a.balance + p.change
    FROM (SELECT account_id, sum(amount) AS change FROM new_postings GROUP BY account_id) p
    WHERE a.id = p.account_id AND a.balance IS NOT NULL;

    IF EXISTS (SELECT FROM new_postings WHERE hold_id IS NOT NULL) THEN
        PERFORM FROM ledger_hold
        WHERE id IN (SELECT hold_id FROM new_postings) ORDER BY id FOR NO KEY UPDATE;
        UPDATE ledger_hold h SET remaining = h.remaining + p.change
        FROM (SELECT hold_id, sum(amount) AS change FROM new_postings WHERE hold_id IS NOT NULL GROUP BY hold_id) p
        WHERE h.id = p.hold_id;
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION ledger_movement_balances() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    found bigint;
    unbalanced text;
BEGIN
    SELECT coalesce(sum(lines), 0), string_agg(format('%s: %s', asset_id, total), ', ') FILTER (WHERE total <> 0)
    INTO found, unbalanced FROM (
        SELECT asset_id, count(*) AS lines, sum(amount) AS total FROM ledger_posting WHERE movement_id = NEW.id
        GROUP BY asset_id
    ) sums;
    IF found <> NEW.lines THEN
        RAISE EXCEPTION 'movement % has % postings, not %', NEW.id, found, NEW.lines
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF unbalanced IS NOT NULL THEN
        RAISE EXCEPTION 'movement % does not sum to zero: %', NEW.id, unbalanced
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

ALTER TABLE ledger_account SET (fillfactor = 50);
ALTER TABLE ledger_hold SET (fillfactor = 80);
"""

# The functions do the same as before them.
BACKWARD = """
ALTER TABLE ledger_account RESET (fillfactor);
ALTER TABLE ledger_hold RESET (fillfactor);
"""


def without_constraint(to: str, *, null: bool = False) -> models.ForeignKey:
    """Return the field as it is, for Django alone."""
    return models.ForeignKey(
        null=null,
        db_constraint=False,
        db_index=False,
        on_delete=django.db.models.deletion.PROTECT,
        related_name="+" if to == "ledger.asset" else "postings",
        to=to,
    )


class Migration(migrations.Migration):
    """Drop what is said twice."""

    dependencies: ClassVar = [("ledger", "0004_usdc")]
    operations: ClassVar = [
        migrations.AlterField("posting", "account", without_constraint("ledger.account")),
        migrations.AlterField("posting", "asset", without_constraint("ledger.asset")),
        migrations.AlterField("posting", "hold", without_constraint("ledger.hold", null=True)),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
