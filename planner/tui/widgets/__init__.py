"""One file per widget. Widgets show values; they never fetch any."""
