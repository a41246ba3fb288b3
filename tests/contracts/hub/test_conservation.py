"""Whatever happens in whatever order, money is neither made nor lost nor stuck."""

from brownie import chain, web3
from hypothesis import strategies as st

from poco.ids import deal_id, task_id
from tests.contracts.market import DIGEST, KITTY, OTHER_DIGEST, RLC, ZERO

UNSET, ACTIVE, REVEALING, COMPLETED, FAILED = range(5)

class Economy:
    """Random steps of a market; those that the hub refuses must change nothing."""

    st_worker = st.integers(0, 4)
    st_digest = st.sampled_from([DIGEST, DIGEST, OTHER_DIGEST])
    st_price = st.integers(0, 30 * RLC)
    st_trust = st.integers(0, 6)
    st_volume = st.integers(1, 3)
    st_pick = st.integers(0, 10**6)
    st_jump = st.sampled_from([1, 300, 601, 2_101, 3_001])
    st_flag = st.booleans()

    def __init__(self, market):
        self.market = market
        self.worth = sum(market.stake(a) + market.locked(a) for a in everybody(market))

    def setup(self):
        self.deals = []
        self.tasks = []

    def attempt(self, method, *args, sender):
        """Send; where it is refused the money must lie as before."""
        before = state_root(self.market)
        request = {
            "to": str(self.market.hub),
            "from": str(sender),
            "data": method.encode_input(*args),
            "gas": hex(5_000_000),
        }
        answer = web3.provider.make_request("eth_sendTransaction", [request])
        if "error" in answer:
            assert state_root(self.market) == before
            return False
        return True

    def rule_match(self, st_price, st_trust, st_volume, st_flag, st_worker):
        market = self.market
        orders = market.orders(volume=st_volume, trust=st_trust, dataset=st_flag, workerpoolmaxprice=30 * RLC)
        orders[2] = market.pool_order(volume=st_volume, workerpoolprice=st_price)
        digest = orders[3].hash(market.domain)
        method = market.hub.sponsorMatchOrders if st_flag else market.hub.matchOrders
        if self.attempt(method, *(order.as_tuple() for order in orders), sender=market.workers[st_worker]):
            self.deals.append((deal_id(digest, 0), st_volume))

    def rule_initialize(self, st_pick):
        if self.deals:
            deal, volume = self.deals[st_pick % len(self.deals)]
            index = st_pick % (volume + 1)
            if self.attempt(self.market.hub.initialize, deal, index, sender=self.market.admin):
                self.tasks.append(task_id(deal, index))

    def rule_contribute(self, st_pick, st_worker, st_digest):
        if self.tasks:
            worker, task = self.market.workers[st_worker], self.tasks[st_pick % len(self.tasks)]
            args = self.market.contribution(worker, task, st_digest)
            self.attempt(self.market.hub.contribute, *args, sender=worker)

    def rule_reveal(self, st_pick, st_worker, st_digest):
        if self.tasks:
            task = self.tasks[st_pick % len(self.tasks)]
            self.attempt(self.market.hub.reveal, task, st_digest, sender=self.market.workers[st_worker])

    def rule_everybody_reveals(self, st_pick):
        if self.tasks:
            task = self.tasks[st_pick % len(self.tasks)]
            for worker in self.market.workers:
                for digest in (DIGEST, OTHER_DIGEST):
                    self.attempt(self.market.hub.reveal, task, digest, sender=worker)

    def rule_finalize(self, st_pick):
        if self.tasks:
            task = self.tasks[st_pick % len(self.tasks)]
            self.attempt(self.market.hub.finalize, task, b"done", b"", sender=self.market.scheduler)

    def rule_fast(self, st_pick, st_worker):
        if self.tasks:
            worker, task = self.market.workers[st_worker], self.tasks[st_pick % len(self.tasks)]
            args = (task, DIGEST, b"done", b"", ZERO, b"", self.market.authorization(worker, task))
            self.attempt(self.market.hub.contributeAndFinalize, *args, sender=worker)

    def rule_reopen(self, st_pick):
        if self.tasks:
            task = self.tasks[st_pick % len(self.tasks)]
            self.attempt(self.market.hub.reopen, task, sender=self.market.scheduler)

    def rule_claim(self, st_pick):
        if self.tasks:
            self.attempt(self.market.hub.claim, self.tasks[st_pick % len(self.tasks)], sender=self.market.admin)

    def rule_wait(self, st_jump):
        chain.sleep(st_jump)
        chain.mine()

    def rule_move(self, st_price, st_worker, st_flag):
        worker = self.market.workers[st_worker]
        if st_flag:
            self.attempt(self.market.hub.transfer, self.market.requester, st_price, sender=worker)
        else:
            self.attempt(self.market.hub.withdraw, st_price, sender=worker)

    def invariant_hub_holds_what_it_owes(self):
        market = self.market
        held = market.rlc.balanceOf(market.hub)
        accounts = [market.hub.viewAccount(account) for account in everybody(market)]
        assert sum(stake + locked for stake, locked in accounts) == held == market.hub.totalSupply()
        assert sum(locked for _, locked in accounts) == market.hub.balanceOf(market.hub)

    def teardown(self):
        """Long after, everything can be claimed; then only the kitty holds what is locked."""
        market = self.market
        chain.sleep(40_000)
        chain.mine()
        for deal, volume in self.deals:
            for index in range(volume):
                    task = task_id(deal, index)
                if market.hub.viewTask(task)["status"] == UNSET:
                    assert self.attempt(market.hub.initializeAndClaimArray, [deal], [index], sender=market.admin)
                elif market.hub.viewTask(task)["status"] in (ACTIVE, REVEALING):
                    assert self.attempt(market.hub.claim, task, sender=market.admin)
        self.invariant_hub_holds_what_it_owes()
        assert all(market.locked(account) == 0 for account in everybody(market) if str(account) != KITTY)


def everybody(market):
    parties = (market.admin, market.requester, market.scheduler, market.app_owner, market.dataset_owner)
    return [*parties, *market.workers, KITTY]


def state_root(market):
    """All accounts as one value; the hub's storage has no cheaper witness."""
    return [tuple(market.hub.viewAccount(account)) for account in everybody(market)]


def test_economy(market, state_machine):
    state_machine(Economy, market, settings={"max_examples": 8, "stateful_step_count": 30})
