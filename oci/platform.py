"""Platforms of images: `linux/arm/v7`, `linux/arm64`, `linux/amd64`, normalised as containerd does."""

from __future__ import annotations

import re
from dataclasses import dataclass

from poco.errors import BadInputError

_PART = re.compile(r"[a-z0-9_.-]+")
_MOST_DIGITS = 3
_ALIASES = {
    ("aarch64", ""): ("arm64", ""),
    ("x86_64", ""): ("amd64", ""),
    ("armhf", ""): ("arm", "v7"),
    ("armv7l", ""): ("arm", "v7"),
    ("armel", ""): ("arm", "v6"),
    ("arm", ""): ("arm", "v7"),
    ("arm64", "v8"): ("arm64", ""),
    ("amd64", "v1"): ("amd64", ""),
}


@dataclass(frozen=True)
class Platform:
    """Operating system, architecture and variant; `arm64/v8` and `amd64/v1` are written without the variant."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def runs(self, other: Platform) -> int:
        """How well a machine of this platform runs images of `other`: 0 not at all, more is better.

        A 32-bit ARM runs images of its own variant and of older ones (v7 runs v6 and v5).
        """
        if (self.os, self.architecture) != (other.os, other.architecture):
            return 0
        if self.architecture == "arm":
            mine, theirs = _arm_version(self.variant), _arm_version(other.variant)
            return theirs if 0 < theirs <= mine else 0
        return int(self.variant == other.variant or not other.variant)


def normalise(os: str, architecture: str, variant: str = "") -> Platform:
    """A platform under its usual name (`aarch64` is `arm64`, `arm64/v8` is `arm64`, `arm` is `arm/v7`)."""
    architecture, variant = architecture.lower(), variant.lower()
    architecture, variant = _ALIASES.get((architecture, variant), (architecture, variant))
    return Platform(os.lower(), architecture, variant)


def parse(text: str) -> Platform:
    """Parse `os/architecture[/variant]`.

    Raises:
        BadInputError: the text is not a platform.
    """
    parts = text.lower().split("/")
    if not 2 <= len(parts) <= 3 or not all(_PART.fullmatch(part) for part in parts):
        raise BadInputError(
            f"'{text[:60]}' is not a platform", hint="write it as linux/arm/v7, linux/arm64 or linux/amd64"
        )
    return normalise(*parts)


def _arm_version(variant: str) -> int:
    """The number of a variant like `v7`; 0 for what strangers' images may say in its place."""
    digits = variant.removeprefix("v")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS else 0
