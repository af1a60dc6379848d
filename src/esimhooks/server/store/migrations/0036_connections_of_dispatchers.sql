-- What serves the connection on which a dispatcher listens: it ends with the dispatcher, so that others see its death.
ALTER TABLE dispatchers ADD COLUMN backend_pid integer, ADD COLUMN backend_started_at timestamptz;
