"""Does a deployment work, and how fast: asked through its own gateway."""
