"""Errors that a person can read: what is wrong, then the way out."""

from __future__ import annotations

from enum import StrEnum


class PewError(Exception):
    """An error with a way out.

    Args:
        message: what is wrong, in one sentence.
        hint: what to do about it.
        code: a stable upper-case word for programs.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", code: str = "FAILED") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class BadInputError(PewError):
    """What was given cannot be used; nothing was done."""

    exit_code = 2

    def __init__(self, message: str, *, hint: str = "", code: str = "BAD_INPUT") -> None:
        super().__init__(message, hint=hint, code=code)


class Cause(StrEnum):
    """Why a replicate failed (iExec's vocabulary where it has a word)."""

    APP_IMAGE_DOWNLOAD_FAILED = "APP_IMAGE_DOWNLOAD_FAILED"
    APP_IMAGE_PLATFORM_UNSUPPORTED = "APP_IMAGE_PLATFORM_UNSUPPORTED"
    APP_IMAGE_BAD_CHECKSUM = "APP_IMAGE_BAD_CHECKSUM"
    DATASET_FILE_DOWNLOAD_FAILED = "DATASET_FILE_DOWNLOAD_FAILED"
    DATASET_FILE_BAD_CHECKSUM = "DATASET_FILE_BAD_CHECKSUM"
    INPUT_FILES_DOWNLOAD_FAILED = "INPUT_FILES_DOWNLOAD_FAILED"
    APP_COMPUTE_FAILED = "APP_COMPUTE_FAILED"
    APP_COMPUTE_TIMEOUT = "APP_COMPUTE_TIMEOUT"
    COMPUTED_FILE_NOT_FOUND = "COMPUTED_FILE_NOT_FOUND"
    COMPUTED_PATH_INVALID = "COMPUTED_PATH_INVALID"
    OUTPUT_TOO_LARGE = "OUTPUT_TOO_LARGE"
    TASK_DESCRIPTION_INVALID = "TASK_DESCRIPTION_INVALID"
    STAKE_TOO_LOW = "STAKE_TOO_LOW"
    ENERGY = "ENERGY"
    SENSOR_UNAVAILABLE = "SENSOR_UNAVAILABLE"
    WORKER_STOPPED = "WORKER_STOPPED"
    CONTRIBUTION_TIMEOUT = "CONTRIBUTION_TIMEOUT"
    CONSENSUS_REACHED = "CONSENSUS_REACHED"
    REVEAL_TIMEOUT = "REVEAL_TIMEOUT"
    TASK_NOT_ACTIVE = "TASK_NOT_ACTIVE"
    CHAIN_REJECTED = "CHAIN_REJECTED"
    RESULT_UPLOAD_FAILED = "RESULT_UPLOAD_FAILED"
    INTERNAL_ERROR = "INTERNAL_ERROR"


#: Causes that may be this worker's own (its network, its speed, its architecture): others are tried first.
LOCAL_CAUSES = frozenset(
    {
        Cause.APP_IMAGE_DOWNLOAD_FAILED,
        Cause.APP_IMAGE_PLATFORM_UNSUPPORTED,
        Cause.DATASET_FILE_DOWNLOAD_FAILED,
        Cause.INPUT_FILES_DOWNLOAD_FAILED,
        Cause.APP_COMPUTE_TIMEOUT,
    }
)

#: Causes that the task carries in itself: every honest worker meets them.
TASK_CAUSES = frozenset(
    {
        Cause.APP_IMAGE_BAD_CHECKSUM,
        Cause.DATASET_FILE_BAD_CHECKSUM,
        Cause.APP_COMPUTE_FAILED,
        Cause.COMPUTED_FILE_NOT_FOUND,
        Cause.COMPUTED_PATH_INVALID,
        Cause.OUTPUT_TOO_LARGE,
        Cause.TASK_DESCRIPTION_INVALID,
    }
)

#: What an error result may be contributed for.
ERROR_RESULT_CAUSES = LOCAL_CAUSES | TASK_CAUSES
