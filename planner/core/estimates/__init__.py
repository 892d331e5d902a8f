"""One model on one machine: memory, placement and speed in one answer, and what follows from it."""
