"""The SDK on a real chain with a real registry: money, registrations, checks before a deal, deals, results."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace

import pytest

from chain.transactions import RevertedError, Sender
from oci.layout import BlobStore, ImageConfig, Tree, push_layout, write_image, write_index, write_layout
from oci.platform import parse as parse_platform
from oci.registry import RegistryClient
from ops.stack import Stack
from poco import ids, result
from poco.amounts import show
from poco.errors import BadInputError, Cause
from poco.hexes import ZERO_ADDRESS, to_bytes
from poco.orders import AppOrder, DatasetOrder, WorkerpoolOrder
from poco.params import DealParams
from scripts.demo_report import payments, read_ledger
from scripts.localstack import LocalStack, Ports
from sdk.cli import main as pew
from sdk.client import Client, Wish
from sdk.preflight import Orders
from sdk.watch import Ending, Watcher, locate, watch

pytestmark = pytest.mark.chain
RLC = 10**9
NAMES = ("requester", "seller", "pool", "first", "second")


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    ports = Ports.free()
    with Stack(tmp_path_factory.mktemp("market"), handle_signals=False) as stack:
        running = LocalStack(stack, ports)
        for name in NAMES:
            running.make_wallet(name)
        running.start_chain()
        running.start_registry()
        for name in NAMES:
            running.fund(name, rlc=100 * RLC)
        shown = running.run_dir / "shown"
        (shown / "ipfs").mkdir(parents=True)
        running.start_files(shown)
        yield running


@pytest.fixture(scope="module")
def image(local):
    """An image for amd64 and riscv64: multiaddr and digest."""
    store = BlobStore(local.run_dir / "blobs")
    tree = Tree()
    tree.file("program", b"#!/bin/true\n", 0o755)
    layer = store.put_layer(tree, 0)
    config = ImageConfig(("/program",), {})
    manifests = [
        write_image(store, parse_platform(f"linux/{arch}"), [layer], config, 0) for arch in ("amd64", "riscv64")
    ]
    write_layout(local.run_dir / "layout", store, write_index(store, manifests), "tiny:1")
    with RegistryClient(local.registry_host) as client:
        digest = push_layout(local.run_dir / "layout", client, "tiny", "1")
    return f"{local.registry_host}/tiny:1", digest


def client(local, name):
    return Client(local.chain, local.wallets[name])


@pytest.fixture(scope="module")
def orders(local, image):
    """Signed orders of a seller and a pool that both can fulfil, and a request for them."""
    seller, pool, me = client(local, "seller"), client(local, "pool"), client(local, "requester")
    app = seller.register_app("tiny", *image)
    data = seller.register_dataset("data", "http://127.0.0.1:1/x", "0x" + "11" * 32)
    place = pool.register_pool("a pool")
    me.deposit(20 * RLC)
    pool.deposit(20 * RLC)
    app_order = seller.sign(AppOrder(app, RLC // 2, volume=50))
    data_order = seller.sign(DatasetOrder(data, RLC // 4, volume=50))
    pool_order = pool.sign(WorkerpoolOrder(place, RLC, volume=50, trust=10))
    wish = Wish(app, DealParams("--x 1"), dataset=data, workerpool=place, trust=4)
    return Orders(app_order, pool_order, me.request(wish, app_order, pool_order, data_order), data_order)


def problems(local, orders):
    return [problem.what for problem in client(local, "requester").preflight(orders).problems]


def test_money_goes_into_the_escrow_and_back(local):
    me = client(local, "first")
    where = me.wallet.address
    me.deposit(3 * RLC)
    assert local.chain.account(where).stake == 3 * RLC
    me.withdraw(RLC)
    assert (local.chain.account(where).stake, local.chain.rlc_balance(where)) == (2 * RLC, 98 * RLC)
    for act, amount in ((me.deposit, 99 * RLC), (me.withdraw, 3 * RLC), (me.deposit, 0), (me.withdraw, 0)):
        with pytest.raises(BadInputError, match="cannot be"):
            act(amount)
    me.withdraw(2 * RLC)


def test_a_wallet_without_gas_money_is_told_so(local):
    local.make_wallet("poor")
    with pytest.raises(BadInputError, match="no native coin"):
        client(local, "poor").register_pool("x")


def test_the_same_thing_is_registered_once(local, image, orders):
    seller = client(local, "seller")
    before = local.chain.block_number()
    assert seller.register_app("tiny", *image) == orders.app.app
    assert seller.register_dataset("data", "http://127.0.0.1:1/x", "0x" + "11" * 32) == orders.dataset.dataset
    assert local.chain.block_number() == before
    assert client(local, "first").register_app("tiny", *image) != orders.app.app
    app = local.chain.app(orders.app.app)
    assert (app.owner, app.multiaddr, app.checksum) == (
        seller.wallet.address,
        image[0],
        image[1].replace("sha256:", "0x"),
    )


def test_registrations_of_nonsense(local, image):
    seller = client(local, "seller")
    pinned = f"{image[0]}@{image[1]}"
    for arguments in (("x", "not an image", image[1]), ("x", image[0], ""), ("", *image), ("x", pinned, "")):
        with pytest.raises(BadInputError):
            seller.register_app(*arguments)
    with pytest.raises(BadInputError):
        seller.register_dataset("x", "file:///etc/passwd", "0x" + "11" * 32)
    with pytest.raises(BadInputError):
        seller.register_dataset("x", "http://x/y", "0x11")


def test_orders_that_fit_have_no_problems(local, orders):
    checked = client(local, "requester").preflight(orders)
    assert checked.problems == ()
    assert checked.cost.total == RLC // 2 + RLC // 4 + RLC
    assert checked.cost.pool_stake == RLC * 30 // 100
    assert [word for word in checked.unknown if "workers" in word]
    checked.require()


def test_an_unfunded_requester(local, orders):
    poor = client(local, "second")
    wish = Wish(orders.app.app, dataset=orders.dataset.dataset, workerpool=orders.pool.workerpool)
    request = poor.request(wish, orders.app, orders.pool, orders.dataset)
    checked = poor.preflight(replace(orders, request=request))
    (problem,) = checked.problems
    assert "0 RLC in the escrow" in problem.what
    assert "pew account deposit" in problem.hint
    with pytest.raises(BadInputError, match="in the escrow"):
        checked.require()
    before = local.chain.account(poor.wallet.address)
    with pytest.raises(RevertedError):
        poor.match(replace(orders, request=request))
    assert local.chain.account(poor.wallet.address) == before


def test_an_unfunded_pool(local, orders):
    owner = client(local, "second")
    place = owner.register_pool("an empty purse")
    pool_order = owner.sign(WorkerpoolOrder(place, RLC, volume=5, trust=10))
    request = replace(orders.request, workerpool=place)
    assert ["must lock" in what for what in problems(local, replace(orders, pool=pool_order, request=request))] == [
        True
    ]


def test_wrong_signatures(local, orders):
    seller, stranger = client(local, "seller"), client(local, "second")
    forged = stranger.sign(AppOrder(orders.app.app, 0, volume=50))
    cheaper = replace(orders.app, appprice=0)
    for order in (forged, cheaper, replace(orders.app, sign="0x"), replace(orders.app, sign="0x" + "00" * 65)):
        (said,) = problems(local, replace(orders, app=order))
        assert "not signed by its owner" in said
        assert seller.wallet.address in said
    with pytest.raises(RevertedError):
        client(local, "requester").match(replace(orders, app=forged))
    wrong = replace(orders.request, sign=forged.sign)
    assert problems(local, replace(orders, request=wrong)) == ["the request is not signed by its requester"]


def test_fields_that_do_not_fit(local, orders):
    assert problems(local, replace(orders, request=replace(orders.request, trust=11)))
    assert problems(local, replace(orders, request=replace(orders.request, category=77)))
    assert problems(local, replace(orders, request=replace(orders.request, volume=51)))
    assert problems(local, replace(orders, request=replace(orders.request, params='{"iexec_args": 7}')))
    restricted = AppOrder(orders.app.app, RLC // 2, volume=1, requesterrestrict=ZERO_ADDRESS[:-1] + "1")
    other = client(local, "seller").sign(restricted)
    assert problems(local, replace(orders, app=other))


def test_unknown_things(local, orders):
    nothing = "0x" + "00" * 19 + "01"
    order = client(local, "seller").sign(AppOrder(nothing, RLC // 2, volume=1))
    found = problems(local, replace(orders, app=order, request=replace(orders.request, app=nothing)))
    assert any("not a registered app" in what for what in found)


@pytest.mark.parametrize(
    ("name", "said"),
    [("nowhere:1", "has no"), ("tiny:2", "has no"), ("tiny:1", "is registered")],
)
def test_images_that_are_not_there(local, orders, name, said):
    seller = client(local, "seller")
    app = seller.register_app("gone", f"{local.registry_host}/{name}", "0x" + "77" * 32)
    order = seller.sign(AppOrder(app, RLC // 2, volume=1))
    found = problems(local, replace(orders, app=order, request=replace(orders.request, app=app)))
    assert len(found) == 1
    assert said in found[0]


def test_the_pools_workers_must_be_able_to_run_it(local, orders):
    me = Client(local.chain, local.wallets["requester"], local.files_url)
    status = local.run_dir / "shown" / "status"

    def said(*machines):
        workers = [
            {"wallet": f"0x{n:040x}", "platforms": [platform], "presence": presence}
            for n, (platform, presence) in enumerate(machines, 1)
        ]
        status.write_text(json.dumps({"workers": workers}))
        checked = me.preflight(orders)
        assert checked.unknown == ()
        return [problem.what for problem in checked.problems]

    assert said(("linux/amd64", "WAITING"), ("linux/riscv64", "ASLEEP")) == []
    (what,) = said(("linux/arm64", "WAITING"), ("linux/arm/v7", "WAITING"))
    assert "linux/arm/v7, linux/arm64" in what
    (what,) = said(("linux/amd64", "WAITING"), ("linux/arm64", "WAITING"))
    assert "trust 4 needs more workers than can run this image in the pool (1)" in what
    (what,) = said(("linux/amd64", "WAITING"), ("linux/amd64", "LOST"))
    assert "in the pool (1)" in what


def act(local, name, function, *arguments):
    return Sender(local.chain, local.wallets[name]).transact(getattr(local.chain.hub.functions, function)(*arguments))


def play(local, made, folder, files):
    """Two workers and the pool's owner, by hand: initialize, contribute, reveal, store, finalize."""
    task = made.task_ids[0]
    path = folder / "zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    cid = result.cid_of(hashlib.sha256(path.read_bytes()).digest())
    path.rename(folder / cid)
    computed = result.parse_computed(files["computed.json"])
    digest = "0x" + hashlib.sha256(files[str(computed.path)]).hexdigest()
    act(local, "pool", "initialize", to_bytes(made.deal_id), 0)
    for name in ("first", "second"):
        wallet = local.wallets[name]
        leave = local.wallets["pool"].sign_message(ids.authorization_hash(wallet.address, task))
        hashes = (ids.result_hash(task, digest), ids.result_seal(wallet.address, task, digest))
        act(local, name, "contribute", to_bytes(task), *map(to_bytes, hashes), ZERO_ADDRESS, b"", to_bytes(leave))
    for name in ("first", "second"):
        act(local, name, "reveal", to_bytes(task), to_bytes(digest))
    act(local, "pool", "finalize", to_bytes(task), result.on_chain_link(cid), b"")
    return task


@pytest.fixture
def served(local, orders):
    """Money for all that take part, and where results are shown."""
    for name in ("first", "second"):
        if local.chain.account(local.wallets[name].address).stake < RLC:
            client(local, name).deposit(5 * RLC)
    return local.run_dir / "shown" / "ipfs"


def test_a_deal_from_match_to_verified_result(local, orders, served, tmp_path):
    me = Client(local.chain, local.wallets["requester"], local.files_url)
    names = {name: wallet.address for name, wallet in local.wallets.items()}
    before = read_ledger(local.chain, names)
    made = me.match(orders)
    assert made.task_ids == (ids.task_id(made.deal_id, 0),)
    with pytest.raises(BadInputError, match="there is no task"):
        locate(local.chain, made.task_ids[0])
    files = {"answer": b"42", "computed.json": b'{"deterministic-output-path": "/iexec_out/answer"}'}
    task = play(local, made, served, files)
    deal, block = locate(local.chain, task)
    assert block <= made.block
    news = []
    ending, end = watch(Watcher(local.chain, deal, task, block), news.append, timeout=10)
    assert ending is Ending.COMPLETED
    assert [item.what for item in news] == [
        "INITIALIZED",
        *["CONTRIBUTED"] * 2,
        "CONSENSUS",
        *["REVEALED"] * 2,
        "FINALIZED",
    ]
    assert {item.worker for item in news if item.worker} == {names["first"], names["second"]}
    got = me.download(task, tmp_path / "out")
    assert (tmp_path / "out/iexec_out/answer").read_bytes() == b"42"
    assert got.digest == end.digest
    after = read_ledger(local.chain, names)
    moved = payments(before, after)
    assert after.faults() == []
    assert sum(moved.values()) == 0
    assert moved["requester"] == -(RLC // 2 + RLC // 4 + RLC)
    assert moved["seller"] == RLC // 2 + RLC // 4
    assert moved["first"] == moved["second"] == RLC * 99 // 100 // 2
    assert moved["pool"] == RLC - 2 * moved["first"]
    with pytest.raises(RevertedError):
        me.claim(task)


def test_an_error_result_is_explained(local, orders, served, tmp_path, capsys):
    me = Client(local.chain, local.wallets["requester"], local.files_url)
    wish = Wish(orders.app.app, dataset=orders.dataset.dataset, workerpool=orders.pool.workerpool, trust=4)
    made = me.match(replace(orders, request=me.request(wish, orders.app, orders.pool, orders.dataset)))
    task = play(local, made, served, result.error_result(Cause.APP_COMPUTE_FAILED, callback=False))
    assert me.download(task, tmp_path / "out").error is Cause.APP_COMPUTE_FAILED
    words = ["--rpc", local.rpc_url, "--deployment", str(local.deployment_file), "--scheduler", local.files_url]
    assert pew([*words, "task", "download", task, "--output", str(tmp_path / "two"), "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["error"] == "APP_COMPUTE_FAILED"
    assert "non-zero exit code" in err
    assert "hint:" in err


def test_pew_on_a_chain(local, orders, image, tmp_path, capsys):
    wallets = local.run_dir / "wallets"
    words = ["--rpc", local.rpc_url, "--deployment", str(local.deployment_file), "--json"]
    words += ["--wallet", str(wallets / "seller.json"), "--password-file", str(wallets / "seller.password")]

    def run(*more):
        code = pew([*words, *more])
        out, err = capsys.readouterr()
        assert code == 0, err
        return json.loads(out)

    assert run("app", "register", "tiny", image[0])["app"] == orders.app.app
    assert run("app", "show", orders.app.app)["multiaddr"] == image[0]
    assert run("pool", "show", orders.pool.workerpool)["worker_stake_ratio"] == 30
    before = run("account", "show")
    after = run("account", "deposit", "1.5")
    assert after["escrow_nrlc"] - before["escrow_nrlc"] == 1_500_000_000
    assert run("account", "withdraw", "1500000000nRLC")["escrow_nrlc"] == before["escrow_nrlc"]
    planned = run("account", "deposit", "1.5", "--dry-run")
    assert planned["function"] == "approveAndCall" and 50_000 < planned["gas"] < 200_000
    assert run("account", "show") == {**before, "native_wei": run("account", "show")["native_wei"]}
    made = client(local, "requester").match(
        replace(orders, request=replace(orders.request, salt="0x" + "55" * 32, sign="0x"))
    )
    assert run("deal", "show", made.deal_id)["tasks"] == [{"id": made.task_ids[0], "status": "UNSET"}]
    assert show(before["wallet_nrlc"]).endswith("RLC")


def test_a_chain_that_was_started_anew(local, capsys):
    text = json.loads(local.deployment_file.read_text())
    text["contracts"]["hub"] = "0x" + "00" * 19 + "07"
    other = local.run_dir / "other.json"
    other.write_text(json.dumps(text))
    assert pew(["--rpc", local.rpc_url, "--deployment", str(other), "account", "show", "0x" + "11" * 20]) == 2
    assert "deploy again" in capsys.readouterr().err


def test_ctrl_c_ends_a_watch_with_130(local, orders, tmp_path):
    made = client(local, "requester").match(
        replace(orders, request=replace(orders.request, salt="0x" + "66" * 32, sign="0x"))
    )
    argv = [sys.executable, "-m", "sdk.cli", "--rpc", local.rpc_url, "--deployment", str(local.deployment_file)]
    argv += ["task", "watch", made.task_ids[0], "--deal", made.deal_id]
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(argv, stderr=subprocess.PIPE, env=env, text=True) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(4)
        process.send_signal(2)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "goes on" in err


def test_orders_are_closed_by_their_owner_once(local, orders):
    """What is closed cannot be matched, whoever has a copy."""
    seller = client(local, "seller")
    order = seller.sign(AppOrder(orders.app.app, 1, volume=7))
    with pytest.raises(BadInputError, match="belongs to"):
        client(local, "requester").close(order)
    assert seller.close(order).gas_used > 21_000
    assert local.chain.consumed(order.hash(local.chain.deployment.domain)) == 7
    with pytest.raises(BadInputError, match="nothing is left"):
        seller.close(order)
    left = [problem.what for problem in client(local, "requester").preflight(replace(orders, app=order)).problems]
    assert any("0 of" in what for what in left)


def test_a_pools_terms_are_changed_by_its_owner(local, orders):
    where = orders.pool.workerpool
    with pytest.raises(BadInputError, match="belongs to"):
        client(local, "seller").change_policy(where, 35, 5)
    with pytest.raises(BadInputError, match="no terms"):
        client(local, "pool").change_policy(where, 35, 101)
    client(local, "pool").change_policy(where, 35, 5)
    found = local.chain.workerpool(where)
    assert (found.worker_stake_ratio, found.scheduler_reward_ratio) == (35, 5)
    client(local, "pool").change_policy(where, 30, 1)


def test_nothing_is_sent_that_is_not_approved(local, orders):
    """The gas is told first; what is raised then keeps the transaction from being sent."""
    told = []

    class NotApprovedError(Exception):
        pass

    def approve(quote):
        told.append(quote)
        raise NotApprovedError

    orders = replace(orders, request=replace(orders.request, salt="0x" + "77" * 32, sign="0x"))
    me = Client(local.chain, local.wallets["requester"], approve=approve)
    before = local.chain.block_number()
    with pytest.raises(NotApprovedError):
        me.deposit(RLC)
    with pytest.raises(NotApprovedError):
        me.match(orders)
    assert [quote.function for quote in told] == ["approveAndCall", "matchOrders"]
    assert local.chain.block_number() == before
    quote = me.quote_match(orders)
    assert quote.gas > 100_000 and quote.wei > 0
    made = client(local, "requester").match(orders)
    assert client(local, "requester").matched(made.deal_id).task_ids == made.task_ids
