"""The edge gateway: it admits, verifies, keeps, watches, alerts and anchors."""
