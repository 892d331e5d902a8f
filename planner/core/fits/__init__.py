"""One model against machines: which quants run, what it needs, lists of models."""
