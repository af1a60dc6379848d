-- The queue changes within seconds, so what was counted in its columns is never true; plans shall not rest on it
-- (docs/decisions/0022). Naming the type again drops what has been counted.
DO $$
DECLARE
    col record;
BEGIN
    FOR col IN
        SELECT attname AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute
        WHERE attrelid = 'queue'::regclass AND attnum > 0 AND NOT attisdropped
    LOOP
        EXECUTE format('ALTER TABLE queue ALTER COLUMN %1$I TYPE %2$s, ALTER COLUMN %1$I SET STATISTICS 0',
                       col.name, col.type);
    END LOOP;
END $$;
