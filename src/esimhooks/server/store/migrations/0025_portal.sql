-- The portal: links that sign a merchant's person in once, sessions that come from them, and how pages look.
CREATE TABLE portal_links (
    digest     bytea PRIMARY KEY,
    account_id uuid        NOT NULL REFERENCES accounts ON DELETE CASCADE,
    mode       text        NOT NULL,
    role       text        NOT NULL,
    page       text        NOT NULL,
    framed     boolean     NOT NULL,
    expires_at timestamptz NOT NULL
);

-- A table of their own: the release before takes a session without a key for the operator's.
CREATE TABLE portal_sessions (
    digest     bytea PRIMARY KEY,
    account_id uuid        NOT NULL REFERENCES accounts ON DELETE CASCADE,
    mode       text        NOT NULL,
    role       text        NOT NULL,
    framed     boolean     NOT NULL,
    created_at timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL
);
CREATE INDEX portal_sessions_by_account ON portal_sessions (account_id, created_at);

-- One row for an account, and one with the nil id for the installation.
CREATE TABLE brandings (
    account_id uuid PRIMARY KEY,
    branding   jsonb       NOT NULL,
    logo       bytea,
    favicon    bytea,
    updated_at timestamptz NOT NULL
);
