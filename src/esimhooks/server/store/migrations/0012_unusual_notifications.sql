-- What is unmatched, invalid, waits or is otherwise out of the ordinary; the usual outcomes fill the journal and need none.
CREATE INDEX notifications_to_look_at ON notifications (id)
    WHERE outcome NOT IN ('applied', 'unchanged', 'duplicate');
