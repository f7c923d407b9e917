"""Rules of the markets that the database enforces, whatever program writes to it.

- Markets and orders are kept, trades are append-only.
- A market's assets and steps do not change, and its steps fit its assets: price times quantity is never rounded.
- An order fits its market's steps, and keeps what it was asked for; while it is open it is filled, never emptied.
- A trade is between two orders of two customers on one market, at the price of the one that came first.
"""

from typing import ClassVar

from django.db import migrations

FORWARD = """
-- NaN equals itself and is greater than every number in PostgreSQL: a check `> 0` lets it pass.
ALTER TABLE markets_market ADD CONSTRAINT market_of_numbers
    CHECK ('NaN' NOT IN (tick_size, lot_size, maker_fee, taker_fee));
ALTER TABLE markets_order ADD CONSTRAINT order_of_numbers
    CHECK ('NaN' NOT IN (coalesce(price, 1), quantity, filled));
ALTER TABLE markets_trade ADD CONSTRAINT trade_of_numbers
    CHECK ('NaN' NOT IN (price, quantity, taker_fee, maker_fee));

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON markets_trade
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse('trades are append-only');
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON markets_order
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse('orders are kept');
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON markets_market
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse('markets are kept');

CREATE FUNCTION markets_market_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.code, NEW.base_id, NEW.quote_id, NEW.tick_size, NEW.lot_size)
                IS DISTINCT FROM (OLD.code, OLD.base_id, OLD.quote_id, OLD.tick_size, OLD.lot_size) THEN
            RAISE EXCEPTION 'assets and steps of market % do not change', OLD.code
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    ELSIF scale(trim_scale(NEW.lot_size)) > (SELECT decimals FROM ledger_asset WHERE code = NEW.base_id)
            OR scale(trim_scale(NEW.tick_size * NEW.lot_size))
                > (SELECT decimals FROM ledger_asset WHERE code = NEW.quote_id) THEN
        RAISE EXCEPTION 'a lot of market % is finer than its assets', NEW.code
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE INSERT OR UPDATE ON markets_market FOR EACH ROW EXECUTE FUNCTION markets_market_guard();

CREATE FUNCTION markets_order_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NOT EXISTS (SELECT FROM markets_market WHERE code = NEW.market_id
                AND coalesce(NEW.price, 0) % tick_size = 0 AND NEW.quantity % lot_size = 0) THEN
            RAISE EXCEPTION 'an order of % at % does not fit market %', NEW.quantity, NEW.price, NEW.market_id
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    ELSIF OLD.status <> 'open' OR NEW.filled < OLD.filled
            OR (NEW.id, NEW.user_id, NEW.market_id, NEW.side, NEW.kind, NEW.price, NEW.quantity, NEW.hold_id,
                NEW.idempotency_key, NEW.created_at) IS DISTINCT FROM (OLD.id, OLD.user_id, OLD.market_id, OLD.side,
                OLD.kind, OLD.price, OLD.quantity, OLD.hold_id, OLD.idempotency_key, OLD.created_at) THEN
        RAISE EXCEPTION 'order % is % and keeps what it was asked for', OLD.id, OLD.status
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE INSERT OR UPDATE ON markets_order FOR EACH ROW EXECUTE FUNCTION markets_order_guard();

CREATE FUNCTION markets_trade_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
            SELECT FROM markets_order maker JOIN markets_order taker ON taker.market_id = maker.market_id
            WHERE maker.id = NEW.maker_order_id AND taker.id = NEW.taker_order_id AND maker.id < taker.id
                AND maker.market_id = NEW.market_id AND taker.side = NEW.taker_side AND maker.side <> taker.side
                AND maker.user_id <> taker.user_id AND maker.price = NEW.price) THEN
        RAISE EXCEPTION 'orders % and % can not trade % at % on %', NEW.taker_order_id, NEW.maker_order_id,
            NEW.quantity, NEW.price, NEW.market_id USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE INSERT ON markets_trade FOR EACH ROW EXECUTE FUNCTION markets_trade_guard();
"""

BACKWARD = """
DROP TRIGGER guard ON markets_trade;
DROP TRIGGER guard ON markets_order;
DROP TRIGGER guard ON markets_market;
DROP TRIGGER kept ON markets_market;
DROP TRIGGER kept ON markets_order;
DROP TRIGGER append_only ON markets_trade;
DROP FUNCTION markets_trade_guard, markets_order_guard, markets_market_guard;
ALTER TABLE markets_trade DROP CONSTRAINT trade_of_numbers;
ALTER TABLE markets_order DROP CONSTRAINT order_of_numbers;
ALTER TABLE markets_market DROP CONSTRAINT market_of_numbers;
"""


class Migration(migrations.Migration):
    """Add the guards."""

    dependencies: ClassVar = [("markets", "0001_initial")]
    operations: ClassVar = [migrations.RunSQL(FORWARD, BACKWARD)]
