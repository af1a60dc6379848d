-- What an account may have and do: its own quotas where they are not the default, and one token bucket for each rate.
CREATE TABLE account_quotas (
    account_id uuid PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,
    quotas jsonb NOT NULL
);

CREATE TABLE quota_buckets (
    account_id uuid NOT NULL REFERENCES accounts ON DELETE CASCADE,
    rate text NOT NULL,
    tokens double precision NOT NULL,
    filled_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, rate)
);

-- The names and values of custom headers are encrypted; how much they count is known without a key. A release before this
-- one writes nothing here, and so lets more through while both run.
ALTER TABLE endpoints ADD COLUMN header_bytes integer NOT NULL DEFAULT 0;
UPDATE endpoints SET header_bytes = octet_length(sealed_headers) WHERE sealed_headers IS NOT NULL;
