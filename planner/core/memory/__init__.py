"""What one engine process takes, byte for byte, and where its layers go."""
