"""The database's own refusal of overlapping routes, as SQL for a migration.

Two live claims of one system may not meet unless they are of one owner, or the inner one's owner derives from the outer
one's (an enterprise inside the range of its second-level node). There is no exclusion constraint for this rule, so a
trigger checks it under a lock per system: whoever comes second waits, and then sees the first one's row (READ COMMITTED
only; another isolation level is refused, because it would not see it).
"""

from __future__ import annotations

OVERLAP = "registry_route_overlap"
"""Name of the refused constraint, by which the verb recognises it."""

INSTALL = """
CREATE FUNCTION registry_guard_claim() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    other registry_routeclaim;
BEGIN
    IF NEW.removed_at IS NOT NULL THEN
        RETURN NEW;
    END IF;
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION '登记编码路由须使用 READ COMMITTED 事务' USING ERRCODE = 'invalid_transaction_state';
    END IF;
    IF NEW.low >= NEW.high THEN
        RAISE EXCEPTION '编码路由 % 的区间为空', NEW.coverage USING ERRCODE = 'check_violation';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('registry_routeclaim'), hashtext(NEW.system));
    SELECT * INTO other FROM registry_routeclaim c
    WHERE c.system = NEW.system AND c.removed_at IS NULL AND c.id <> NEW.id AND c.low < NEW.high AND NEW.low < c.high
      AND c.owner <> NEW.owner
      AND NOT (NEW.owner LIKE c.owner || '.%' AND c.low <= NEW.low AND NEW.high <= c.high)
      AND NOT (c.owner LIKE NEW.owner || '.%' AND NEW.low <= c.low AND c.high <= NEW.high)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% 的 % 与 % 持有的 % 重叠', NEW.system, NEW.coverage, other.holder, other.coverage
            USING ERRCODE = 'exclusion_violation', CONSTRAINT = 'overlap_name';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER registry_claim_overlap BEFORE INSERT OR UPDATE ON registry_routeclaim
    FOR EACH ROW EXECUTE FUNCTION registry_guard_claim();
""".replace("overlap_name", OVERLAP)

REMOVE = """
DROP TRIGGER registry_claim_overlap ON registry_routeclaim;
DROP FUNCTION registry_guard_claim();
"""
