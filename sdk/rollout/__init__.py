"""The way of the contracts to a chain that others use: plan, apply step by step, verify."""
