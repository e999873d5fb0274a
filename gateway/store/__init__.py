"""What the gateway keeps: gateway.db (messages, devices, alerts, anchors), values.db (sealed readings), keys.db."""
