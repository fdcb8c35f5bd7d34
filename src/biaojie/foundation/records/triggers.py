"""What the database itself refuses in the journal, as SQL for the first migration.

Change sets and changes never change. A stamp's serial is set once, from null. Rows leave only by `retention.prune` (which
says so in a transaction-local setting), and only after every channel of their set has acknowledged them.
"""

from __future__ import annotations

INSTALL = """
CREATE FUNCTION records_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '变更日志只能追加，不允许 % %', TG_OP, TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE FUNCTION records_guard_delete() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    set_id bigint := CASE TG_TABLE_NAME WHEN 'records_changeset' THEN (to_jsonb(OLD)->>'id')::bigint
                                        ELSE (to_jsonb(OLD)->>'change_set_id')::bigint END;
BEGIN
    IF coalesce(current_setting('biaojie.pruning', true), '') <> 'on' THEN
        RAISE EXCEPTION '变更日志只能按保存期限清理' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF EXISTS (SELECT 1 FROM records_stamp s LEFT JOIN records_channel c ON c.name = s.channel
               WHERE s.change_set_id = set_id AND (s.serial IS NULL OR s.serial > coalesce(c.acknowledged, 0))) THEN
        RAISE EXCEPTION '变更集 % 尚有通道未处理，不能清理', set_id USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN OLD;
END $$;

CREATE FUNCTION records_guard_stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.serial IS NOT NULL OR NEW.serial IS NULL
       OR (NEW.id, NEW.channel, NEW.change_set_id) IS DISTINCT FROM (OLD.id, OLD.channel, OLD.change_set_id) THEN
        RAISE EXCEPTION '序号只能设置一次' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION records_guard_channel() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.name <> OLD.name OR NEW.serial < OLD.serial
       OR NEW.acknowledged < OLD.acknowledged OR NEW.acknowledged > NEW.serial THEN
        RAISE EXCEPTION '通道 % 的序号只能增加，且已处理序号不得超过最新序号', OLD.name
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER records_changeset_fixed BEFORE UPDATE ON records_changeset FOR EACH ROW EXECUTE FUNCTION records_refuse();
CREATE TRIGGER records_change_fixed BEFORE UPDATE ON records_change FOR EACH ROW EXECUTE FUNCTION records_refuse();
CREATE TRIGGER records_stamp_once BEFORE UPDATE ON records_stamp FOR EACH ROW EXECUTE FUNCTION records_guard_stamp();
CREATE TRIGGER records_channel_forward BEFORE UPDATE ON records_channel FOR EACH ROW EXECUTE FUNCTION records_guard_channel();
CREATE TRIGGER records_channel_kept BEFORE DELETE ON records_channel FOR EACH ROW EXECUTE FUNCTION records_refuse();
CREATE TRIGGER records_changeset_kept BEFORE DELETE ON records_changeset FOR EACH ROW EXECUTE FUNCTION records_guard_delete();
CREATE TRIGGER records_change_kept BEFORE DELETE ON records_change FOR EACH ROW EXECUTE FUNCTION records_guard_delete();
CREATE TRIGGER records_stamp_kept BEFORE DELETE ON records_stamp FOR EACH ROW EXECUTE FUNCTION records_guard_delete();
CREATE TRIGGER records_changeset_whole BEFORE TRUNCATE ON records_changeset FOR EACH STATEMENT EXECUTE FUNCTION records_refuse();
CREATE TRIGGER records_change_whole BEFORE TRUNCATE ON records_change FOR EACH STATEMENT EXECUTE FUNCTION records_refuse();
CREATE TRIGGER records_stamp_whole BEFORE TRUNCATE ON records_stamp FOR EACH STATEMENT EXECUTE FUNCTION records_refuse();
CREATE TRIGGER records_channel_whole BEFORE TRUNCATE ON records_channel FOR EACH STATEMENT EXECUTE FUNCTION records_refuse();
"""

REMOVE = """
DROP FUNCTION records_refuse CASCADE;
DROP FUNCTION records_guard_delete CASCADE;
DROP FUNCTION records_guard_stamp CASCADE;
DROP FUNCTION records_guard_channel CASCADE;
"""
