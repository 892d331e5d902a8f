"""Offers of providers, and what work costs there and at home."""
