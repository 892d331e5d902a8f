"""From a plan to running processes: what is started, watched, and given up."""
