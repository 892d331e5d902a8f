"""Room: probe."""
