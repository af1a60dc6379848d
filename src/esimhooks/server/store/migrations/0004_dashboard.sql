-- Sessions of the dashboard. A key that is revoked takes its sessions along; the first admin key, a setting, is told by its digest.
CREATE TABLE sessions (
    digest       bytea PRIMARY KEY,
    lookup       text REFERENCES api_keys (lookup) ON DELETE CASCADE,
    admin_digest bytea,
    created_at   timestamptz NOT NULL,
    seen_at      timestamptz NOT NULL,
    CHECK ((lookup IS NULL) <> (admin_digest IS NULL))
);
CREATE INDEX sessions_by_lookup ON sessions (lookup);
CREATE INDEX sessions_by_age ON sessions (seen_at);

-- What did not arrive is listed without reading what did.
CREATE INDEX deliveries_not_delivered ON deliveries (account_id, mode, id)
    WHERE status IN ('failed', 'stopped', 'cancelled');
CREATE INDEX notifications_by_esim ON notifications (esim_id, id) WHERE esim_id IS NOT NULL;
