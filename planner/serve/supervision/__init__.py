"""Keeping engines running: the supervisor, its processes, and what is left when it is killed."""
