"""Many workers managed as one, from one file: what `pew fleet` is made of."""
