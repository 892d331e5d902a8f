"""Processors, host memory and what limits them."""
