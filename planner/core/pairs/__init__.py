"""The recommendation: an embedder and a generator in one budget, found best first."""
