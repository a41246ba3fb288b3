"""Brownie mains."""
