"""Ids, result hashes and the contribution authorisation (PoCo 6: packed keccak-256)."""

from __future__ import annotations

from poco.hexes import ZERO_ADDRESS, keccak, to_bytes, to_hex, uint256


def deal_id(request_order_hash: str, consumed_before: int) -> str:
    """keccak(request order hash, volume of it consumed before this deal)."""
    return to_hex(keccak(to_bytes(request_order_hash, 32), uint256(consumed_before)))


def task_id(deal: str, index: int) -> str:
    """keccak(deal id, index of the task in the request's bag)."""
    return to_hex(keccak(to_bytes(deal, 32), uint256(index)))


def result_hash(task: str, digest: str) -> str:
    """keccak(task id, digest): what agreeing workers share."""
    return to_hex(keccak(to_bytes(task, 32), to_bytes(digest, 32)))


def result_seal(worker: str, task: str, digest: str) -> str:
    """keccak(worker, task id, digest): what shows that a worker did not copy."""
    return to_hex(keccak(to_bytes(worker, 20), to_bytes(task, 32), to_bytes(digest, 32)))


def authorization_hash(worker: str, task: str, enclave_challenge: str = ZERO_ADDRESS) -> str:
    """What the pool's owner signs (as a personal message) to let `worker` contribute to `task`."""
    return to_hex(keccak(to_bytes(worker, 20), to_bytes(task, 32), to_bytes(enclave_challenge, 20)))
