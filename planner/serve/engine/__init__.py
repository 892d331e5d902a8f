"""Engines: which there are, what each can do, how one is started and why one did not start."""
