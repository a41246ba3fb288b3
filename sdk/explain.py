"""What the causes of an error result mean to a requester, and the way out."""

from __future__ import annotations

from poco.errors import Cause

_WORDS: dict[Cause, tuple[str, str]] = {
    Cause.APP_IMAGE_DOWNLOAD_FAILED: (
        "no worker could download the app's image",
        "check that the registry in the app's multiaddr is public, runs and has the image",
    ),
    Cause.APP_IMAGE_PLATFORM_UNSUPPORTED: (
        "the app's image exists for no architecture of this pool's workers",
        "build and push it for linux/arm/v7, linux/arm64 and linux/amd64 (pew dapp push)",
    ),
    Cause.APP_IMAGE_BAD_CHECKSUM: (
        "the registry's image is not the one that is registered on chain",
        "register the app again with the digest that the push printed, or push the registered image",
    ),
    Cause.DATASET_FILE_DOWNLOAD_FAILED: (
        "no worker could download the dataset",
        "check that the dataset's URL is public and answers",
    ),
    Cause.DATASET_FILE_BAD_CHECKSUM: (
        "the dataset is not the file that is registered on chain",
        "register the file as it is now (pew dataset register), or put the registered one back",
    ),
    Cause.INPUT_FILES_DOWNLOAD_FAILED: (
        "no worker could download an input file",
        "check that the URLs of --input-file are public and answer",
    ),
    Cause.APP_COMPUTE_FAILED: (
        "the program ended with a non-zero exit code",
        "pew task show <task> has the exit code; try the same arguments on your own machine first",
    ),
    Cause.APP_COMPUTE_TIMEOUT: (
        "the program ran past the time of its category",
        "take a longer category (--category S, M, L, XL) or give it less to do",
    ),
    Cause.COMPUTED_FILE_NOT_FOUND: (
        "the program wrote no usable /iexec_out/computed.json",
        'write {"deterministic-output-path": "/iexec_out/<file>"} into it at the end of the program',
    ),
    Cause.COMPUTED_PATH_INVALID: (
        "the program's computed.json points at nothing, at a link or outside /iexec_out",
        "write the result into /iexec_out and name it by its absolute path",
    ),
    Cause.OUTPUT_TOO_LARGE: (
        "the program wrote more into /iexec_out than the workers allow",
        "write less, or split the work into more tasks",
    ),
    Cause.TASK_DESCRIPTION_INVALID: (
        "the deal asks for what a standard task cannot have",
        "leave encryption, secrets and other storage out of the params; check app type and arguments",
    ),
}


def explain(cause: Cause) -> tuple[str, str]:
    """(what went wrong, the way out) for the cause of an error result."""
    return _WORDS.get(cause, (f"the workers report {cause.value}", "ask the pool's owner"))
