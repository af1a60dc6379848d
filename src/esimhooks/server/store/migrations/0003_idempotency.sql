-- Answers to requests with an Idempotency-Key, kept for a day; of operators under the account 0.
CREATE TABLE idempotent_answers (
    account_id    uuid        NOT NULL,
    mode          text        NOT NULL,
    key           text        NOT NULL,
    fingerprint   bytea       NOT NULL,
    sealed_answer bytea       NOT NULL,
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (account_id, mode, key)
);
CREATE INDEX idempotent_answers_by_age ON idempotent_answers USING brin (created_at);
