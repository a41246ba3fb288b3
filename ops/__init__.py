"""What prepares a machine: `python3 -m ops.setup`, `python3 -m ops.engine` (standard library only), and `ops.stack`."""
