"""How fast a placed process runs: work per token, the time it takes, the interval around it (docs/estimates.md)."""
