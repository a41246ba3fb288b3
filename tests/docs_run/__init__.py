"""The documentation, run: every command of its pages."""
