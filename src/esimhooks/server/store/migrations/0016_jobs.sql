-- Recoveries and requeries of many eSIMs are background jobs in one table. Rows up to `cursor` are done; whoever works on
-- a job has it until `due_at`, and no process holds anything else, so that another goes on where one was killed.
CREATE TABLE jobs (
    id          uuid PRIMARY KEY,
    kind        text        NOT NULL,
    account_id  uuid        NOT NULL REFERENCES accounts ON DELETE CASCADE,
    mode        text        NOT NULL,
    endpoint_id uuid REFERENCES endpoints ON DELETE CASCADE,
    filter      jsonb       NOT NULL,
    total       integer     NOT NULL,
    cursor      uuid,
    done        integer     NOT NULL DEFAULT 0,
    changed     integer     NOT NULL DEFAULT 0,
    failed      integer     NOT NULL DEFAULT 0,
    problem     text,
    waits       integer     NOT NULL DEFAULT 0,
    due_at      timestamptz NOT NULL DEFAULT now(),
    created_at  timestamptz NOT NULL,
    finished_at timestamptz
);

INSERT INTO jobs (id, kind, account_id, mode, endpoint_id, filter, total, cursor, done, changed, created_at, finished_at)
SELECT id, 'recovery', account_id, mode, endpoint_id,
       jsonb_build_object('first_event', first_event, 'last_event', last_event, 'statuses', to_jsonb(statuses)),
       total, reached, seen, sent, created_at, finished_at
FROM recoveries;

INSERT INTO jobs (id, kind, account_id, mode, filter, total, cursor, done, changed, failed, problem, waits, due_at,
                  created_at, finished_at)
SELECT id, 'requery', account_id, mode,
       jsonb_build_object(
           'where', jsonb_strip_nulls(jsonb_build_object(
               'status', status, 'iccid', iccid, 'transaction_id', transaction_id, 'order_no', order_no)),
           'last_esim', last_esim),
       matched, reached, done, changed, failed, problem, waits, due_at, created_at, finished_at
FROM requeries;

DROP TABLE recoveries, requeries;

CREATE INDEX jobs_by_tenant ON jobs (account_id, mode, kind, id);
CREATE INDEX jobs_by_endpoint ON jobs (endpoint_id, id) WHERE endpoint_id IS NOT NULL;
CREATE INDEX jobs_to_do ON jobs (kind, due_at) WHERE finished_at IS NULL;
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
-- One requery at a time for a tenant: they share what the providers allow the operator.
CREATE UNIQUE INDEX jobs_requery_under_way ON jobs (account_id, mode) WHERE kind = 'requery' AND finished_at IS NULL;
