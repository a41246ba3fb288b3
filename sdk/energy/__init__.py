"""The energy of workers as their ledgers tell it: read, audited, drawn."""
