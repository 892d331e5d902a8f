"""Graphics cards on the PCI bus: which there are, what they are, how they are connected."""
