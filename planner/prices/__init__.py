"""Rental prices: one module per provider behind one interface, a cache, and a collector that waits for nobody."""
