"""Ways to run Vigil: service files, dashboards, and the demo that runs all of it on one machine."""
