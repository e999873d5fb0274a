"""What the world sees of a log over HTTP."""
