-- When an endpoint was disabled: events from before still get a delivery for it, which waits, also where they are fanned
-- out afterwards. A trigger, as nodes of the release before disable endpoints, too.
ALTER TABLE endpoints ADD COLUMN disabled_at timestamptz;

CREATE FUNCTION note_disabled_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.disabled_at := now();
    RETURN NEW;
END
$$;

CREATE TRIGGER note_disabled_at BEFORE UPDATE OF enabled ON endpoints
    FOR EACH ROW WHEN (OLD.enabled AND NOT NEW.enabled) EXECUTE FUNCTION note_disabled_at();
