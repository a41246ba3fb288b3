"""However many contribute and disagree, a task can be settled in one transaction."""

from brownie import Workerpool, chain, web3
from eth_account import Account

from poco.ids import result_hash, result_seal
from tests.contracts.market import RLC, ZERO, revert_of

LIMIT = 128


def crowd(market, task, number):
    """Contributions of that many new accounts, no two of which agree."""
    sent = []
    for i in range(number):
        worker = Account.from_key(web3.keccak(text=f"worker {i}"))
        digest = "0x" + i.to_bytes(32, "big").hex()
        hashes = result_hash(task, digest), result_seal(worker.address, task, digest)
        data = market.hub.contribute.encode_input(task, *hashes, ZERO, "0x", market.authorization(worker.address, task))
        transaction = {"to": market.hub.address, "data": data, "gas": 400_000, "gasPrice": 0, "nonce": 0, "value": 0}
        signed = worker.sign_transaction({**transaction, "chainId": chain.id})
        sent.append(web3.eth.send_raw_transaction(signed.raw_transaction))
    assert all(web3.eth.get_transaction_receipt(each)["status"] == 1 for each in sent)


def test_crowd(market):
    Workerpool.at(market.pool).changePolicy(0, 1, {"from": market.scheduler})
    task = market.task(trust=100)
    crowd(market, task, LIMIT)
    assert len(market.hub.viewTask(task)["contributors"]) == LIMIT
    late = market.workers[0]
    error = revert_of(market.hub.contribute, *market.contribution(late, task), options={"from": late})
    assert error == ("TooManyContributors", LIMIT)
    market.after_final_deadline(task)
    tx = market.hub.claim(task, {"from": market.admin})
    assert tx.gas_used < 3_000_000
    assert market.stake(market.requester) == 1_000 * RLC
