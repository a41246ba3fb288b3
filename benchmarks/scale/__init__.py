"""Thousands of simulated workers against one scheduler process, and what a real worker process costs."""
