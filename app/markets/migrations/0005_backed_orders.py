"""More rules of the markets that the database enforces.

- At commit, an order that waits holds what it may cost, and no hold for an order holds anything else.
- A trade is within the limit of the order that came last, and its movement is one of a trade.

Rows of orders get room on their pages, so that a partial fill needn't touch an index; and what is left in the index of
a book by orders that were closed is removed soon.
"""

from typing import ClassVar

from django.db import migrations

FORWARD = """
CREATE FUNCTION markets_order_backed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed uuid;
    problem text;
BEGIN
    IF TG_TABLE_NAME = 'ledger_hold' THEN changed := NEW.id; ELSE changed := NEW.hold_id; END IF;
    SELECT format('order %s is %s and holds %s', o.id, o.status, h.remaining) INTO problem
    FROM ledger_hold h LEFT JOIN markets_order o ON o.hold_id = h.id
    WHERE h.id = changed AND h.remaining <> CASE WHEN o.status IS DISTINCT FROM 'open' THEN 0
        WHEN o.side = 'buy' THEN (o.quantity - o.filled) * o.price ELSE o.quantity - o.filled END;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION '%', problem USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER backed AFTER INSERT OR UPDATE ON markets_order DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.hold_id IS NOT NULL) EXECUTE FUNCTION markets_order_backed();
CREATE CONSTRAINT TRIGGER backs_order AFTER UPDATE ON ledger_hold DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.purpose = 'order') EXECUTE FUNCTION markets_order_backed();

CREATE OR REPLACE FUNCTION markets_trade_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
            SELECT FROM markets_order maker JOIN markets_order taker ON taker.market_id = maker.market_id
            WHERE maker.id = NEW.maker_order_id AND taker.id = NEW.taker_order_id AND maker.id < taker.id
                AND maker.market_id = NEW.market_id AND taker.side = NEW.taker_side AND maker.side <> taker.side
                AND maker.user_id <> taker.user_id AND maker.price = NEW.price
                AND CASE taker.side WHEN 'buy' THEN taker.price >= NEW.price ELSE taker.price <= NEW.price END
                    IS NOT FALSE) THEN
        RAISE EXCEPTION 'orders % and % can not trade % at % on %', NEW.taker_order_id, NEW.maker_order_id,
            NEW.quantity, NEW.price, NEW.market_id USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NOT EXISTS (SELECT FROM ledger_movement WHERE id = NEW.movement_id AND kind = 'trade') THEN
        RAISE EXCEPTION 'movement % is not one of a trade', NEW.movement_id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

ALTER TABLE markets_order SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000);
"""

# The function for trades is replaced by the next migration that needs another one.
BACKWARD = """
DROP TRIGGER backs_order ON ledger_hold;
DROP TRIGGER backed ON markets_order;
DROP FUNCTION markets_order_backed;
ALTER TABLE markets_order RESET (fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
"""


class Migration(migrations.Migration):
    """Add the guards."""

    dependencies: ClassVar = [("markets", "0004_candle_progress"), ("ledger", "0005_cheaper_postings")]
    operations: ClassVar = [migrations.RunSQL(FORWARD, BACKWARD)]
