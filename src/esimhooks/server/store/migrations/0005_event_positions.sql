-- The order in which a tenant's events were committed: the row of its head is locked until the commit.
CREATE TABLE event_heads (
    account_id uuid   NOT NULL,
    mode       text   NOT NULL,
    position   bigint NOT NULL,
    PRIMARY KEY (account_id, mode)
) WITH (fillfactor = 50);

ALTER TABLE events ADD COLUMN position bigint;
UPDATE events SET position = numbered.position
FROM (SELECT id, row_number() OVER (PARTITION BY account_id, mode ORDER BY id) AS position FROM events) numbered
WHERE events.id = numbered.id;
INSERT INTO event_heads SELECT account_id, mode, max(position) FROM events GROUP BY account_id, mode;
CREATE INDEX events_in_order ON events (account_id, mode, position);
