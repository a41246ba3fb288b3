"""Runs over files: what is collected, what is written down, and that nothing is paid twice."""

import dataclasses
import json
from types import SimpleNamespace

import pytest

from chain import wallet as wallets
from poco import ids
from poco.errors import BadInputError
from poco.orders import AppOrder, Domain, RequestOrder, WorkerpoolOrder
from sdk import bag as bags
from sdk import inputs
from sdk.bag import FILE, Bag
from sdk.client import Matched
from sdk.inputs import collect
from sdk.preflight import Orders

APP, POOL = "0x" + "12" * 20, "0x" + "34" * 20
DOMAIN = Domain(1337, "0x" + "56" * 20)
TERMS = {"app": APP, "arguments": ""}


class Hub:
    """The part of a client that makes deals, on a hub that takes a request once; it may fail after it took one."""

    def __init__(self, wallet):
        self.wallet, self.taken, self.breaks = wallet, [], False
        deployment = SimpleNamespace(domain=DOMAIN)
        self.chain = SimpleNamespace(deployment=deployment, consumed=lambda mark: int(mark in self.taken))

    def signed(self, orders):
        if orders.request.sign != "0x":
            return orders
        return dataclasses.replace(orders, request=self.wallet.sign_order(orders.request, DOMAIN))

    def match(self, orders):
        mark = orders.request.hash(DOMAIN)
        assert mark not in self.taken
        self.taken.append(mark)
        if self.breaks:
            raise KeyboardInterrupt
        return self.matched(ids.deal_id(mark, 0))

    def matched(self, deal_id):
        return Matched(deal_id, (ids.task_id(deal_id, 0),), 1)

    def best_orders(self, wish, own):
        salt = wallets.to_hex(wallets.secrets.token_bytes(32))
        request = RequestOrder(APP, self.wallet.address, workerpool=POOL, beneficiary=self.wallet.address, salt=salt)
        return Orders(AppOrder(APP), WorkerpoolOrder(POOL, 1), request)


@pytest.fixture
def hub(tmp_path):
    return Hub(wallets.create(tmp_path / "w.json", "x", iterations=1024))


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("b.txt", "a.txt", ".hidden"):
        (folder / name).write_text(name)
    (folder / "sub").mkdir()
    return folder


def test_files_and_folders_are_collected_in_order(files):
    found = collect((files, inputs.Path(__file__)))
    assert [one.name for one in found] == ["a.txt", "b.txt", "test_bag.py"]
    assert found[0].cid.startswith("bafkrei") and found[0].size == 5


def test_nothing_to_collect(files, tmp_path, monkeypatch):
    with pytest.raises(BadInputError, match="0 files"):
        collect((files / "sub",))
    with pytest.raises(BadInputError, match="cannot read"):
        collect((tmp_path / "none",))
    with pytest.raises(BadInputError, match=r"two files are called a\.txt"):
        collect((files, files / "a.txt"))
    monkeypatch.setattr(inputs, "MAX_FILES", 1)
    with pytest.raises(BadInputError, match="2 files"):
        collect((files,))


def test_a_stop_between_deal_and_note_is_not_paid_again(hub, files, tmp_path):
    given = collect((files,))
    bag = Bag(tmp_path / "out", TERMS)
    bag.load(given, again=False)
    entry = bag.entries["a.txt"]
    hub.breaks = True
    with pytest.raises(KeyboardInterrupt):
        bags.match(hub, bag, entry, bags.order(hub, entry, None, None))
    assert len(hub.taken) == 1

    bag = Bag(tmp_path / "out", TERMS)
    bag.load(given, again=False)
    found = bags.made(hub, bag.entries["a.txt"])
    assert found is not None and found.deal_id == ids.deal_id(hub.taken[0], 0)
    assert bags.made(hub, bag.entries["b.txt"]) is None


def test_a_stop_before_the_deal_sends_the_very_same_request(hub, files, tmp_path, monkeypatch):
    given = collect((files,))
    bag = Bag(tmp_path / "out", TERMS)
    bag.load(given, again=False)
    entry = bag.entries["a.txt"]
    sending = hub.match
    monkeypatch.setattr(hub, "match", lambda _orders: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        bags.match(hub, bag, entry, bags.order(hub, entry, None, None))
    monkeypatch.setattr(hub, "match", sending)

    bag = Bag(tmp_path / "out", TERMS)
    bag.load(given, again=False)
    entry = bag.entries["a.txt"]
    wish = bags.Wish(APP)
    orders = bags.order(hub, entry, wish, None)
    assert orders.request.as_json() == entry.request
    entry, deal = bags.match(hub, bag, entry, orders)
    assert hub.taken == [orders.request.hash(DOMAIN)]
    assert (entry.deal, entry.task) == (deal.deal_id, deal.task_ids[0])
    assert json.loads((tmp_path / "out" / FILE).read_text())["entries"][0]["deal"] == deal.deal_id


def test_it_goes_on_only_as_the_same_run(files, tmp_path):
    given = collect((files,))
    bag = Bag(tmp_path / "out", TERMS)
    bag.load(given, again=False)
    bag.put(bag.entries["a.txt"], state="FAILED", why="x")
    other = Bag(tmp_path / "out", {**TERMS, "arguments": "--x"})
    with pytest.raises(BadInputError, match="another arguments"):
        other.load(given, again=False)
    (files / "b.txt").write_text("changed")
    with pytest.raises(BadInputError, match=r"b\.txt has changed"):
        Bag(tmp_path / "out", TERMS).load(collect((files,)), again=False)
    (tmp_path / "out" / FILE).write_text("{")
    with pytest.raises(BadInputError, match="cannot be read"):
        Bag(tmp_path / "out", TERMS).load(given, again=False)


def test_failed_files_are_forgotten_only_when_asked(files, tmp_path):
    given = collect((files,))
    bag = Bag(tmp_path / "out", TERMS)
    bag.load(given, again=False)
    bag.put(bag.entries["a.txt"], state="FAILED", why="x", deal="0x1")
    for again, state in ((False, "FAILED"), (True, "")):
        bag = Bag(tmp_path / "out", TERMS)
        bag.load(given, again=again)
        assert bag.entries["a.txt"].state == state
    assert bag.entries["a.txt"].deal == ""


def test_two_at_once_on_one_run_are_refused(tmp_path):
    bag = Bag(tmp_path / "out", TERMS)
    with bag.alone(), pytest.raises(BadInputError, match="another pew"), Bag(tmp_path / "out", TERMS).alone():
        pass
    with bag.alone():
        pass
