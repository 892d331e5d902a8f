"""How good models are at their jobs, and how well that is known."""
