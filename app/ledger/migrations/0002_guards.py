"""Rules of the ledger that the database enforces, whatever program writes to it.

- Movements and postings are append-only: no update, delete or truncate.
- A movement has exactly as many postings as it says, and they sum to zero per asset, when the transaction commits.
- A posting's asset is its account's, its amount is no finer than the asset, and it names a hold of the same account
  if, and only if, the account is a held one.
- Balances of customers' accounts and what remains of holds change by postings alone, in the same statement. Accounts
  and holds are locked in the order of their ids, so that two movements can't deadlock over them.
- A transfer keeps what it was asked for, and leaves `pending` once.
"""

from typing import ClassVar

from django.db import migrations

FORWARD = """
-- NaN equals itself and is greater than every number in PostgreSQL: a check `> 0` lets it pass.
ALTER TABLE ledger_posting ADD CONSTRAINT posting_is_a_number CHECK (amount <> 'NaN');
ALTER TABLE ledger_transfer ADD CONSTRAINT transfer_is_a_number CHECK (amount <> 'NaN');
ALTER TABLE ledger_account ADD CONSTRAINT account_is_a_number CHECK (balance <> 'NaN');
ALTER TABLE ledger_hold ADD CONSTRAINT hold_is_a_number CHECK (remaining <> 'NaN');

ALTER TABLE ledger_account ADD CONSTRAINT account_with_asset UNIQUE (id, asset_id);
ALTER TABLE ledger_posting ADD CONSTRAINT posting_in_asset_of_account
    FOREIGN KEY (account_id, asset_id) REFERENCES ledger_account (id, asset_id);
ALTER TABLE ledger_hold ADD CONSTRAINT hold_with_account UNIQUE (id, account_id);
ALTER TABLE ledger_posting ADD CONSTRAINT posting_on_account_of_hold
    FOREIGN KEY (hold_id, account_id) REFERENCES ledger_hold (id, account_id);

CREATE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: %', TG_OP, TG_TABLE_NAME, TG_ARGV[0]
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_movement
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse('movements are append-only');
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_posting
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse('postings are append-only');
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON ledger_account
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse('accounts are kept');
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON ledger_hold
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse('holds are kept');
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON ledger_transfer
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse('transfers are kept');
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON ledger_asset
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse('assets are kept');

CREATE FUNCTION ledger_asset_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.code, NEW.decimals) IS DISTINCT FROM (OLD.code, OLD.decimals) THEN
        RAISE EXCEPTION 'code and decimals of asset % do not change', OLD.code
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE UPDATE ON ledger_asset FOR EACH ROW EXECUTE FUNCTION ledger_asset_guard();

CREATE FUNCTION ledger_account_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.balance <> 0 THEN
            RAISE EXCEPTION 'a new account starts at zero, not %', NEW.balance
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    -- Depth 1 is a statement of a client, depth 2 one of the trigger on postings.
    ELSIF pg_trigger_depth() = 1 OR (NEW.id, NEW.asset_id, NEW.kind, NEW.owner_id)
            IS DISTINCT FROM (OLD.id, OLD.asset_id, OLD.kind, OLD.owner_id) THEN
        RAISE EXCEPTION 'account % changes by postings alone', OLD.id USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE INSERT OR UPDATE ON ledger_account
    FOR EACH ROW EXECUTE FUNCTION ledger_account_guard();

CREATE FUNCTION ledger_hold_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.remaining <> 0 THEN
            RAISE EXCEPTION 'a new hold starts at zero, not %', NEW.remaining
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        IF NOT EXISTS (SELECT FROM ledger_account WHERE id = NEW.account_id AND kind = 'held') THEN
            RAISE EXCEPTION 'hold % needs a held account', NEW.id USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    ELSIF pg_trigger_depth() = 1 OR (NEW.id, NEW.account_id, NEW.purpose, NEW.created_at)
            IS DISTINCT FROM (OLD.id, OLD.account_id, OLD.purpose, OLD.created_at) THEN
        RAISE EXCEPTION 'hold % changes by postings alone', OLD.id USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE INSERT OR UPDATE ON ledger_hold FOR EACH ROW EXECUTE FUNCTION ledger_hold_guard();

CREATE FUNCTION ledger_transfer_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'pending' THEN
            RAISE EXCEPTION 'a new transfer is pending, not %', NEW.state
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    ELSIF OLD.state <> 'pending' OR NEW.state = 'pending'
            OR (to_jsonb(NEW) - 'state' - 'decided_at') IS DISTINCT FROM (to_jsonb(OLD) - 'state' - 'decided_at') THEN
        RAISE EXCEPTION 'transfer % is % and changes its state once, and nothing else', OLD.id, OLD.state
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE INSERT OR UPDATE ON ledger_transfer
    FOR EACH ROW EXECUTE FUNCTION ledger_transfer_guard();

CREATE FUNCTION ledger_apply_postings() RETURNS trigger LANGUAGE plpgsql AS $$
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

    PERFORM FROM ledger_hold
    WHERE id IN (SELECT hold_id FROM new_postings) ORDER BY id FOR NO KEY UPDATE;
    UPDATE ledger_hold h SET remaining = h.remaining + p.change
    FROM (SELECT hold_id, sum(amount) AS change FROM new_postings WHERE hold_id IS NOT NULL GROUP BY hold_id) p
    WHERE h.id = p.hold_id;
    RETURN NULL;
END $$;
CREATE TRIGGER apply_postings AFTER INSERT ON ledger_posting REFERENCING NEW TABLE AS new_postings
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_apply_postings();

CREATE FUNCTION ledger_movement_balances() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    found bigint;
    unbalanced text;
BEGIN
    SELECT count(*) INTO found FROM ledger_posting WHERE movement_id = NEW.id;
    IF found <> NEW.lines THEN
        RAISE EXCEPTION 'movement % has % postings, not %', NEW.id, found, NEW.lines
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    SELECT string_agg(format('%s: %s', asset_id, total), ', ') INTO unbalanced FROM (
        SELECT asset_id, sum(amount) AS total FROM ledger_posting WHERE movement_id = NEW.id
        GROUP BY asset_id HAVING sum(amount) <> 0
    ) sums;
    IF unbalanced IS NOT NULL THEN
        RAISE EXCEPTION 'movement % does not sum to zero: %', NEW.id, unbalanced
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER balances AFTER INSERT ON ledger_movement DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION ledger_movement_balances();
"""

BACKWARD = """
DROP TRIGGER balances ON ledger_movement;
DROP TRIGGER apply_postings ON ledger_posting;
DROP TRIGGER guard ON ledger_transfer;
DROP TRIGGER guard ON ledger_hold;
DROP TRIGGER guard ON ledger_account;
DROP TRIGGER guard ON ledger_asset;
DROP TRIGGER kept ON ledger_asset;
DROP TRIGGER kept ON ledger_transfer;
DROP TRIGGER kept ON ledger_hold;
DROP TRIGGER kept ON ledger_account;
DROP TRIGGER append_only ON ledger_posting;
DROP TRIGGER append_only ON ledger_movement;
DROP FUNCTION ledger_movement_balances, ledger_apply_postings, ledger_transfer_guard, ledger_hold_guard,
    ledger_account_guard, ledger_asset_guard, ledger_refuse;
ALTER TABLE ledger_posting DROP CONSTRAINT posting_on_account_of_hold, DROP CONSTRAINT posting_in_asset_of_account,
    DROP CONSTRAINT posting_is_a_number;
ALTER TABLE ledger_hold DROP CONSTRAINT hold_with_account, DROP CONSTRAINT hold_is_a_number;
ALTER TABLE ledger_account DROP CONSTRAINT account_with_asset, DROP CONSTRAINT account_is_a_number;
ALTER TABLE ledger_transfer DROP CONSTRAINT transfer_is_a_number;
"""


class Migration(migrations.Migration):
    """Add the guards."""

    dependencies: ClassVar = [("ledger", "0001_initial")]
    operations: ClassVar = [migrations.RunSQL(FORWARD, BACKWARD)]
