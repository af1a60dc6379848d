"""Receivers in servers that fork and recycle their processes: every event has a run, and none is begun twice."""
