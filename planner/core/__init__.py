"""Pure decisions over frozen values: no files, clock, environment, network or processes."""
