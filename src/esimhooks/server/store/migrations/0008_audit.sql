-- Who changed what. No references: an entry outlives the account, the key and whatever it tells of.
CREATE TABLE audit_entries (
    id         uuid PRIMARY KEY,
    account_id uuid,
    mode       text,
    actor_kind text  NOT NULL,
    key_id     uuid,
    key_name   text,
    address    text,
    action     text  NOT NULL,
    subject    text  NOT NULL,
    changes    jsonb NOT NULL
);
CREATE INDEX audit_entries_by_tenant ON audit_entries (account_id, mode, id);
CREATE INDEX audit_entries_by_subject ON audit_entries (subject, id);
