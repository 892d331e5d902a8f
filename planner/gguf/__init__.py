"""Room: gguf."""
