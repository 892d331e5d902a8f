"""What `planner doctor` looks at, section by section."""
