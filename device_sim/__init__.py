"""The device in a home: it signs what its sensors read, keeps it until the gateway has receipted it, and calls for help."""
