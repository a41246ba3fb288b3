"""The crash campaign: a whole network under faults, judged by the chain alone. `python -m tests.chaos --help`."""
