-- What the holder of a key may do. A key without a row may do all, as before; a release before this one does not look here.
CREATE TABLE key_roles (
    key_id uuid PRIMARY KEY REFERENCES api_keys ON DELETE CASCADE,
    role text NOT NULL
);
CREATE INDEX api_keys_of_operators ON api_keys (id) WHERE account_id IS NULL;
