"""How messages come in: our own MQTT 5 listener, or a broker that somebody brings."""
