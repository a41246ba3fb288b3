"""What a worker proves and checks itself: authorisations, result digests, hashes and seals."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from chain.wallet import recover_message
from poco.errors import BadInputError, Cause
from poco.ids import authorization_hash, result_hash, result_seal, task_id
from poco.result import digest, error_result
from worker.core import Replicate

#: Half the order of secp256k1: of the two signatures that mean the same, contracts take the one with s up to this.
_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


@dataclass(frozen=True, slots=True)
class Proof:
    """What is contributed: keccak(task, digest) and keccak(worker, task, digest)."""

    result_hash: str
    result_seal: str


def prove(worker: str, task: str, result_digest: str) -> Proof:
    """The commitment to a result: equal for agreeing workers, and a seal that only its finder can make."""
    return Proof(result_hash(task, result_digest), result_seal(worker, task, result_digest))


def check_authorization(replicate: Replicate, worker: str, pool_owner: str) -> None:
    """BadInputError unless the pool's owner lets this worker contribute to exactly this task of this deal."""
    if task_id(replicate.deal_id, replicate.index) != replicate.task_id:
        raise BadInputError(
            f"task {replicate.task_id} is not number {replicate.index} of deal {replicate.deal_id}",
            hint="the scheduler mixes up tasks: tell its operator",
        )
    if int(replicate.authorization[66:130], 16) > _HALF_ORDER:
        raise BadInputError(
            "the authorisation is the malleable twin of a signature: the contracts refuse it",
            hint="do not work for this scheduler: it does not sign, it copies",
            code="WRONG_AUTHORIZATION",
        )
    message = authorization_hash(worker, replicate.task_id, replicate.enclave_challenge)
    signer = recover_message(message, replicate.authorization)
    if signer != pool_owner:
        raise BadInputError(
            f"the authorisation was signed by {signer}, the pool belongs to {pool_owner}",
            hint="do not work for this scheduler: it cannot speak for the pool",
            code="WRONG_AUTHORIZATION",
        )


class MemoryTree:
    """A few files as a `poco.result.FileTree`."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def kind(self, path: PurePosixPath) -> str | None:
        return "file" if str(path) in self.files else None

    def children(self, path: PurePosixPath) -> Iterable[str]:
        return self.files if path == PurePosixPath() else ()

    def chunks(self, path: PurePosixPath) -> Iterable[bytes]:
        return iter(io.BytesIO(self.files[str(path)]).read, b"")


def error_proof(cause: Cause, *, callback: bool) -> tuple[str, MemoryTree]:
    """Digest and files of the error result that all workers share who met `cause`."""
    tree = MemoryTree(error_result(cause, callback=callback))
    return digest(tree, callback=callback), tree
