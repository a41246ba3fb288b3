"""What every actor of PoCo (Proof-of-Contribution) agrees on: pure values and functions, no I/O."""
