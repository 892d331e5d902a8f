"""Models: their networks, tensors and files, and which one is meant."""
