"""One organisation's node: its key, its statements on their way to a log, its APIs. No module of the log imports it."""
