-- Accounts that move to another installation: nothing of theirs is taken in, changed or sent here any more.
CREATE TABLE frozen_accounts (
    account_id uuid PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,
    frozen_at  timestamptz NOT NULL DEFAULT now()
);

-- The accounts that are frozen. Whoever freezes one waits for the transactions that have asked before, and those that ask
-- later see it: what is returned holds until the commit.
CREATE FUNCTION read_frozen_accounts() RETURNS SETOF uuid LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1718774117);
    RETURN QUERY SELECT account_id FROM frozen_accounts;
END
$$;
