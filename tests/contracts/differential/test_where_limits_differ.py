"""Differences from the original: numbers and lengths that have a limit in ours."""

from ops.real_poco import published_abi
from poco.hexes import keccak, to_bytes, to_hex
from tests.contracts.differential.contrast import BOTH, ORIGINAL_ONLY, contributions, first_task
from tests.contracts.differential.tasks import DIGESTS

LONG = 24_600
GAS = 30_000_000


def pools(contrast):
    return [
        contrast.twin.web3.eth.contract(address=each, abi=published_abi("Workerpool"))
        for each in contrast.cast.entries["workerpool"][0]
    ]


def test_trust(contrast):
    """A deal's trust has 32 bits; a pool that offers more counts as offering that."""
    most = 2**32 - 1
    both = contrast.orders(pool={"trust": 2**256 - 1}, request={"trust": most})
    assert contrast.takes(contrast.matches(both), contrast.cast.admin) == BOTH
    both = contrast.orders(pool={"trust": 2**256 - 1}, request={"trust": most + 1})
    assert contrast.refusal(contrast.matches(both)[0], contrast.cast.admin) == (
        "TrustTooHigh",
        most + 1,
        most,
    )
    assert contrast.takes(contrast.matches(both), contrast.cast.admin) == ORIGINAL_ONLY


def test_tasks_of_a_deal(contrast):
    both = contrast.orders(**{kind: {"volume": 2**200} for kind in ("app", "pool", "request")})
    assert contrast.takes(contrast.matches(both), contrast.cast.admin) == BOTH
    assert contrast.consumed(both, 3) == [2**40 - 1, 2**200]
    # what is left can be matched by a further deal
    assert contrast.takes(contrast.matches(both)[:1] * 2, contrast.cast.admin) == BOTH


def test_tasks_of_a_request(contrast):
    both = contrast.orders(**{kind: {"volume": 2**60} for kind in ("app", "pool", "request")})
    contrast.store_consumed(both, 3, 2**56 - 2)
    for index in (0, 2):
        contrast.store_consumed(both, index, 2**60 - 2)
    error = contrast.refusal(contrast.matches(both)[0], contrast.cast.admin)
    assert error[:2] == ("OrderConsumed", 3)
    assert contrast.takes(contrast.matches(both), contrast.cast.admin) == ORIGINAL_ONLY


def test_consumed_volume(contrast):
    """Closing an order of a volume beyond 96 bits closes it on both sides; ours shows the most it can."""
    both = contrast.orders(app={"volume": 2**200})
    calls = [
        side.hub.functions.manageAppOrder((orders[0].as_tuple(), 1, b""))
        for side, orders in zip(contrast.sides, both, strict=True)
    ]
    assert contrast.takes(calls, contrast.cast.app_owner) == BOTH
    assert contrast.consumed(both, 0) == [2**96 - 1, 2**200]
    assert contrast.takes(contrast.matches(both), contrast.cast.admin) == (False, False)


def test_stake_policy_and_reference_time(contrast):
    owner, most = contrast.cast.schedulers[0], 2**32 - 1
    assert contrast.takes([pool.functions.changePolicy(most, 1) for pool in pools(contrast)], owner) == BOTH
    assert (
        contrast.takes([pool.functions.changePolicy(most + 1, 1) for pool in pools(contrast)], owner) == ORIGINAL_ONLY
    )
    admin = contrast.cast.admin
    assert contrast.takes(contrast.at_hubs("createCategory", "long", "", most), admin) == BOTH
    assert contrast.takes(contrast.at_hubs("createCategory", "longer", "", most + 1), admin) == ORIGINAL_ONLY


def test_contributors_of_a_task(contrast):
    """Ours takes 128, so that a task can always be settled in one transaction."""
    ids = first_task(contrast, contrast.orders(pool={"trust": 10**6}, request={"trust": 10**6}))
    outcomes = []
    for i in range(129):
        worker = contrast.twin.web3.to_checksum_address(f"0x{0xA000 + i:040x}")
        contrast.twin.rpc("anvil_impersonateAccount", worker)
        contrast.twin.rpc("anvil_setBalance", worker, hex(10**18))
        digest = to_hex(keccak(worker.encode()))
        outcomes.append(contrast.takes(contributions(contrast, ids, worker, digest), worker))
    assert outcomes == [BOTH] * 128 + [ORIGINAL_ONLY]


def test_weight_of_the_first_group(contrast):
    """Three workers of scores that nobody will ever have."""
    ids = first_task(contrast, contrast.orders(pool={"trust": 2**32}, request={"trust": 2**32 - 1}))
    first, dissenter, second = contrast.cast.workers[:3]
    steps = [(first, 2**31, DIGESTS[0]), (dissenter, 2**62, DIGESTS[1]), (second, 2**58, DIGESTS[0])]
    outcomes = []
    for worker, weight, digest in steps:
        contrast.store_score(worker.address, 3 * (weight + 1))
        calls = contributions(contrast, ids, worker.address, digest)
        if worker is second:
            error = contrast.refusal(calls[0], worker)
            assert error == ("GroupTooHeavy", 2**89)
        outcomes.append(contrast.takes(calls, worker))
    assert outcomes == [BOTH, BOTH, ORIGINAL_ONLY]


def test_length_of_params(contrast):
    both = contrast.orders(request={"params": "x" * LONG})
    calls = contrast.matches(both)
    assert contrast.refusal(calls[0], contrast.cast.admin)[0] == "DataTooLong"
    assert contrast.takes(calls, contrast.cast.admin, GAS) == ORIGINAL_ONLY


def test_length_of_results(contrast):
    ids = first_task(contrast, contrast.orders())
    worker, scheduler = contrast.cast.workers[0], contrast.cast.schedulers[0]
    assert contrast.takes(contributions(contrast, ids, worker.address, DIGESTS[0]), worker) == BOTH
    assert contrast.takes(contrast.about("reveal", ids, to_bytes(DIGESTS[0])), worker) == BOTH
    calls = contrast.about("finalize", ids, b"x" * LONG, b"")
    assert contrast.refusal(calls[0], scheduler) == ("DataTooLong", LONG)
    assert contrast.takes(calls, scheduler, GAS) == ORIGINAL_ONLY


def test_length_of_an_entry(contrast):
    owner = contrast.cast.app_owner
    calls = [
        side.poco.dataset_registry.functions.createDataset(owner.address, "long", b"x" * LONG, b"\1" * 32)
        for side in contrast.sides
    ]
    assert contrast.takes(calls, owner, GAS) == ORIGINAL_ONLY
