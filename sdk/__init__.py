"""What requesters, app developers, data owners and pool owners hold: a Python client and the `pew` command.

Start at `sdk.client.Client`.
"""
