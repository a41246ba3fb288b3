"""A pool of many solar workers on virtual time: the scheduler's core and the energy gate that production uses, with a
model of what lies between them (chain, network, boards that are off)."""
