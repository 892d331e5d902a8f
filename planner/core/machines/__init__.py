"""Machines: what they are made of, how they are named and described, and the devices of the catalog."""
