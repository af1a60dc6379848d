-- What waits is worked off in the order in which it came, by the database's clock and not by the ids of several nodes;
-- `esim_id` is the eSIM that could not be read, all of whose notifications are tried together.
ALTER TABLE backlog
    ADD COLUMN received_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN esim_id uuid;
CREATE INDEX backlog_by_esim ON backlog (esim_id) WHERE esim_id IS NOT NULL;
ALTER TABLE unmatched_notifications ADD COLUMN received_at timestamptz NOT NULL DEFAULT now();

-- What a provider answered to a question of ours came with no notification.
ALTER TABLE provider_doubts ALTER COLUMN notification_id DROP NOT NULL;

-- When an endpoint was stored, by the database's clock: whether it was there before an event, whatever nodes made the two.
ALTER TABLE endpoints ADD COLUMN stored_at timestamptz NOT NULL DEFAULT 'epoch';
ALTER TABLE endpoints ALTER COLUMN stored_at SET DEFAULT now();
