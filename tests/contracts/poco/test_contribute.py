"""Who may contribute, when, and with what."""

from brownie import ContractWallet, Workerpool, chain

from poco.hexes import keccak, to_bytes, to_hex
from poco.ids import authorization_hash, result_hash, result_seal
from tests.contracts.market import DIGEST, RLC, ZERO, refused, revert_of, sign_message

TEE = "0x" + "00" * 31 + "01"


def refusal(market, worker, args):
    return revert_of(market.hub.contribute, *args, options={"from": worker})


def test_unknown_task(market):
    task = "0x" + "99" * 32
    worker = market.workers[0]
    assert refusal(market, worker, market.contribution(worker, task)) == (
        "WrongTaskStatus",
        bytes.fromhex("99" * 32),
        0,
    )


def test_twice(market):
    task, worker = market.task(trust=8), market.workers[0]
    market.contribute(worker, task)
    error = refusal(market, worker, market.contribution(worker, task))
    assert error == ("AlreadyContributed", bytes.fromhex(task[2:]), str(worker).lower())


def test_after_the_consensus(market):
    task = market.task()
    market.contribute(market.workers[0], task)
    error = refusal(market, market.workers[1], market.contribution(market.workers[1], task))
    assert error == ("WrongTaskStatus", bytes.fromhex(task[2:]), 2)


def test_after_the_deadline(market):
    task, worker = market.task(), market.workers[0]
    deadline = market.hub.viewTask(task)["contributionDeadline"]
    chain.sleep(deadline - chain.time())
    chain.mine()
    assert refusal(market, worker, market.contribution(worker, task)) == ("DeadlinePassed", deadline)


def test_just_before_the_deadline(market):
    task, worker = market.task(), market.workers[0]
    chain.sleep(market.hub.viewTask(task)["contributionDeadline"] - chain.time() - 5)
    market.contribute(worker, task)


def test_without_the_stake(market):
    task, worker = market.task(), market.workers[0]
    market.hub.withdraw(997 * RLC + 1, {"from": worker})
    error = refusal(market, worker, market.contribution(worker, task))
    assert error == ("InsufficientStake", str(worker).lower(), 3 * RLC - 1, 3 * RLC)


def test_with_another_workers_authorization(market):
    task, (worker, other) = market.task(), market.workers[:2]
    args = (*market.contribution(worker, task)[:5], market.authorization(other, task))
    expected = ("InvalidAuthorization", str(market.scheduler).lower(), str(worker).lower(), bytes.fromhex(task[2:]))
    assert refusal(market, worker, args) == expected


def test_with_the_authorization_of_another_task(market):
    task, other, worker = market.task(), market.task(), market.workers[0]
    args = (*market.contribution(worker, task)[:5], market.authorization(worker, other))
    assert refusal(market, worker, args)[0] == "InvalidAuthorization"


def test_authorized_by_somebody_else(market):
    task, worker = market.task(), market.workers[0]
    args = (*market.contribution(worker, task)[:5], market.authorization(worker, task, signer=worker))
    assert refusal(market, worker, args)[0] == "InvalidAuthorization"
    args = (*args[:5], "0x1234")
    assert refusal(market, worker, args) == ("InvalidSignatureLength", 2)


def test_authorized_by_a_contract(market):
    """The pool belongs to a contract that signs by ERC-1271."""
    wallet = ContractWallet.deploy({"from": market.admin})
    market.fund(wallet, 100 * RLC)
    market.workerpool_registry.transferFrom(market.scheduler, wallet, int(market.pool, 16), {"from": market.scheduler})
    orders = market.orders()
    orders[2] = orders[2].signed("0x")
    wallet.approveHash(orders[2].hash(market.domain), {"from": market.admin})
    deal = market.match(orders)
    market.hub.initialize(deal.id, 0, {"from": market.admin})
    task, worker = deal.tasks[0], market.workers[0]
    args = (*market.contribution(worker, task)[:5], "0x")
    assert refusal(market, worker, args)[0] == "InvalidAuthorization"
    prefix = b"\x19Ethereum Signed Message:\n32"
    message = keccak(prefix, bytes.fromhex(authorization_hash(str(worker), task)[2:]))
    wallet.approveHash(message, {"from": market.admin})
    market.hub.contribute(*args, {"from": worker})
    market.reveal(worker, task)
    finish = market.hub.finalize.encode_input(task, b"", b"")
    wallet.execute(market.hub, finish, {"from": market.admin})
    assert market.hub.viewTask(task)["status"] == 3


def test_copied_contribution_is_worth_nothing(market):
    """Hash and seal of another worker can be sent, but not revealed."""
    task, (worker, thief) = market.task(trust=4), market.workers[:2]
    market.contribute(worker, task)
    stolen = market.contribution(worker, task)
    market.hub.contribute(*stolen[:5], market.authorization(thief, task), {"from": thief})
    market.reveal(worker, task)
    error = revert_of(market.hub.reveal, task, DIGEST, options={"from": thief})
    assert error[0] == "WrongSeal"


def test_stake_follows_the_policy_of_the_deal(market):
    Workerpool.at(market.pool).changePolicy(0, 1, {"from": market.scheduler})
    task = market.task()
    market.contribute(market.workers[0], task)
    assert market.locked(market.workers[0]) == 0


def enclave_task(market):
    orders = market.orders(tag=TEE)
    orders[0] = market.app_order(tag=TEE)
    orders[2] = market.pool_order(tag=TEE)
    deal = market.match(orders)
    market.hub.initialize(deal.id, 0, {"from": market.scheduler})
    return deal.tasks[0]


def enclave_contribution(market, worker, task, enclave, *, signer=None, broker=None):
    hashes = result_hash(task, DIGEST), result_seal(str(worker), task, DIGEST)
    message = to_hex(keccak(to_bytes(hashes[0], 32), to_bytes(hashes[1], 32)))
    authorization = market.authorization(worker, task, str(enclave), signer=broker)
    return (task, *hashes, str(enclave), sign_message(signer or enclave, message), authorization)


def test_enclave(market):
    task, (worker, enclave) = enclave_task(market), market.workers[:2]
    assert refusal(market, worker, market.contribution(worker, task)) == ("EnclaveRequired", bytes.fromhex(task[2:]))
    forged = enclave_contribution(market, worker, task, enclave, signer=worker)
    assert refusal(market, worker, forged) == ("InvalidEnclaveSignature", str(enclave).lower())
    market.hub.contribute(*enclave_contribution(market, worker, task, enclave), {"from": worker})
    entry = market.hub.viewContribution(task, worker)
    assert entry["enclaveChallenge"] == enclave
    market.reveal(worker, task)
    market.finalize(task)


def test_broker_of_enclaves(market):
    broker = market.workers[4]
    market.hub.setTeeBroker(broker, {"from": market.admin})
    task, (worker, enclave) = enclave_task(market), market.workers[:2]
    args = enclave_contribution(market, worker, task, enclave)
    assert refusal(market, worker, args)[:2] == ("InvalidAuthorization", str(broker).lower())
    market.hub.contribute(*enclave_contribution(market, worker, task, enclave, broker=broker), {"from": worker})
    # a task without an enclave stays the scheduler's to authorize
    task = market.task()
    market.contribute(worker, task)
    assert market.hub.viewContribution(task, worker)["enclaveChallenge"] == ZERO


def test_of_a_claimed_task(market):
    task, worker = market.task(), market.workers[0]
    market.after_final_deadline(task)
    market.hub.claim(task, {"from": market.admin})
    with refused():
        market.contribute(worker, task)
