"""Exactly once: how many of very many tasks are given to a worker twice, or to none, while schedulers are killed."""
