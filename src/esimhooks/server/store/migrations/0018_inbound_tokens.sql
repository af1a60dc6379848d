-- The token of an inbound address that was replaced, which is taken until its provider knows the new one.
ALTER TABLE providers
    ADD COLUMN sealed_old_token bytea,
    ADD COLUMN old_token_until timestamptz;
