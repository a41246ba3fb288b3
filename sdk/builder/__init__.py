"""Builds `dapps/<name>/` into one OCI image index for several platforms: no emulator, no Docker, no root."""
