"""A simulated body: heart, breath, movement and the vital signs that follow from them; seeded, pure, without numpy."""
