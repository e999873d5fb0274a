"""Alerts: from a detector's finding to a person who acted on it, or a record that nobody could be reached."""
