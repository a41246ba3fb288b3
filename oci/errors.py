"""What can go wrong with an image; each error's `cause` is the word a worker reports."""

from __future__ import annotations

from typing import ClassVar

from poco.errors import Cause, PewError


class ImageError(PewError):
    """Base of the errors of images and registries."""

    cause: ClassVar[Cause] = Cause.APP_IMAGE_DOWNLOAD_FAILED

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint, code=self.cause.value)


class ImageUnknownError(ImageError):
    """The registry answers, but does not have the image (or does not show it to the public)."""


class RegistryUnreachableError(ImageError):
    """No answer, no useful answer or none in time from the registry."""


class BadChecksumError(ImageError):
    """What the registry has is not what was asked for by digest."""

    cause = Cause.APP_IMAGE_BAD_CHECKSUM


class PlatformUnsupportedError(ImageError):
    """The image exists, but not for this platform."""

    cause = Cause.APP_IMAGE_PLATFORM_UNSUPPORTED


class ImageInvalidError(ImageError):
    """The registry's manifest is not one (broken JSON, wrong types, too large)."""
