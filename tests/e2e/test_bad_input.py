"""Work that cannot be done, on one local network: told in words, nobody's stake is lost, and the rest runs on."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import pytest

from chain.transactions import RevertedError
from ops.stack import Stack
from poco.errors import BadInputError, Cause
from poco.orders import AppOrder, DatasetOrder, WorkerpoolOrder
from poco.params import DealParams
from scripts.demo_report import payments, read_ledger
from scripts.localstack import LocalStack, Ports, together
from sdk.cli import main as pew_main
from sdk.client import Wish
from sdk.explain import explain
from sdk.preflight import Orders
from sdk.results import sha256_of
from sdk.service import ServiceError
from sdk.watch import Ending, Watcher, watch
from tests.e2e import programs

pytestmark = [pytest.mark.chain, pytest.mark.docker, pytest.mark.long]
RLC = 10**9
PORTS = Ports.free()
WORKERS = ("first", "second")
PEOPLE = ("requester", "seller", "scheduler", "penniless")
#: Every cause of the table in docs/architecture.md that a program, its image or its data can bring about.
PROGRAMS = {
    "fail": Cause.APP_COMPUTE_FAILED,
    "slow": Cause.APP_COMPUTE_TIMEOUT,
    "silent": Cause.COMPUTED_FILE_NOT_FOUND,
    "broken": Cause.COMPUTED_FILE_NOT_FOUND,
    "outside": Cause.COMPUTED_PATH_INVALID,
    "above": Cause.COMPUTED_PATH_INVALID,
    "link": Cause.COMPUTED_PATH_INVALID,
}
POOL_PRICE, APP_PRICE = RLC, RLC // 10
QUICK_SECONDS = 15


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """Scheduler and two workers, a category of 15 seconds, and offers of a program and of data."""
    with Stack(tmp_path_factory.mktemp("bad"), handle_signals=False) as stack:
        local = LocalStack(stack, PORTS)
        for name in (*PEOPLE, *WORKERS, "unfunded"):
            local.make_wallet(name)
        folder = local.run_dir / "shown"
        folder.mkdir()
        (folder / "data").write_bytes(b"what was registered\n")
        together(local.start_chain, local.start_registry, lambda: local.start_files(folder))
        deployer = local.chain.web3.eth.accounts[0]
        local.chain.hub.functions.createCategory("quick", "for tests", QUICK_SECONDS).transact({"from": deployer})
        for name in (*PEOPLE, *WORKERS):
            local.fund(name, rlc=0 if name == "penniless" else 100 * RLC)
        local.fund("unfunded")
        owner, seller = local.client("scheduler"), local.client("seller")
        pool = owner.register_pool("bad input")
        owner.deposit(50 * RLC)
        local.client("requester").deposit(60 * RLC)
        local.start_scheduler(pool)
        sun = {"source": "simulated", "speed": 1, "soc": 0.9}
        haste = {"stake_nrlc": 10 * RLC, "slots": 2, "watch_seconds": 1, "drain_seconds": 1}
        for name in WORKERS:
            local.start_worker(name, pool, "linux/amd64", sun, **haste)
        app = seller.register_app("behaves", *programs.push(local.registry_host, local.run_dir, "behaves"))
        offers = {
            category: owner.sign(WorkerpoolOrder(pool, POOL_PRICE, volume=30, category=category, trust=4))
            for category in (0, 5)
        }
        selling = seller.sign(AppOrder(app, APP_PRICE, volume=100))
        local.wait_for_workers(len(WORKERS))
        yield SimpleNamespace(
            local=local, pool=pool, app=app, offers=offers, selling=selling, folder=folder, sun=sun,
            names={name: wallet.address for name, wallet in local.wallets.items()},
        )  # fmt: skip


def match(net, args, *, app=None, data=None, category=0, trust=4):
    """A deal without any check before it, as a careless requester makes it; returns its task."""
    me, seller = net.local.client("requester"), net.local.client("seller")
    selling = net.selling if app is None else seller.sign(AppOrder(app, APP_PRICE))
    data_order = seller.sign(DatasetOrder(data)) if data else None
    wish = Wish(selling.app, DealParams(args), dataset=data, workerpool=net.pool, category=category, trust=trust)
    offer = net.offers[category]
    request = me.request(wish, selling, offer, data_order)
    return me.match(Orders(selling, offer, request, data_order))


def finish(net, made, seconds=150):
    """Wait until the task is completed and fetch its result."""
    me = net.local.client("requester")
    task_id = made.task_ids[0]
    watcher = Watcher(me.chain, me.chain.deal(made.deal_id), task_id, made.block, me.service)
    ending, task = watch(watcher, timeout=seconds, poll_seconds=0.5, check=net.local.stack.check)
    assert ending is Ending.COMPLETED
    return task, me.download(task_id, net.local.run_dir / "results" / task_id)


@pytest.fixture(scope="module")
def outcomes(net):
    """All bad tasks at once, then a good one; what each came to, and the books before and after."""
    seller = net.local.client("seller")
    image = net.local.chain.app(net.app)
    url = f"{net.local.files_url}/data"
    gone = seller.register_app("gone", f"{net.local.registry_host}/nowhere:1", "0x" + "77" * 32)
    other = seller.register_app("other", image.multiaddr, "0x" + "66" * 32)
    foreign = seller.register_app(
        "foreign", *programs.push(net.local.registry_host, net.local.run_dir, "foreign", "linux/riscv64")
    )
    changed = seller.register_dataset("changed", url, "0x" + "55" * 32)
    missing = seller.register_dataset("missing", f"{net.local.files_url}/nothing", "0x" + "44" * 32)
    right = seller.register_dataset("right", url, sha256_of(net.folder / "data"))
    before = read_ledger(net.local.chain, net.names)
    made = {args: match(net, args, category=5 if args == "slow" else 0) for args in PROGRAMS}
    made |= {
        "image gone": match(net, "good", app=gone),
        "image other": match(net, "good", app=other),
        "image foreign": match(net, "good", app=foreign),
        "data changed": match(net, "copy", data=changed),
        "data missing": match(net, "copy", data=missing),
        "params": match(net, "good 'unclosed"),
        "good": match(net, "good"),
        "good data": match(net, "copy", data=right),
    }
    with ThreadPoolExecutor(len(made)) as pool:
        ends = dict(zip(made, pool.map(lambda deal: finish(net, deal), made.values()), strict=True))
    after = read_ledger(net.local.chain, net.names)
    return SimpleNamespace(ends=ends, before=before, after=after, count=len(made))


EXPECTED = {
    **PROGRAMS,
    "image gone": Cause.APP_IMAGE_DOWNLOAD_FAILED,
    "image other": Cause.APP_IMAGE_BAD_CHECKSUM,
    "image foreign": Cause.APP_IMAGE_PLATFORM_UNSUPPORTED,
    "data changed": Cause.DATASET_FILE_BAD_CHECKSUM,
    "data missing": Cause.DATASET_FILE_DOWNLOAD_FAILED,
    "params": Cause.TASK_DESCRIPTION_INVALID,
}


@pytest.mark.parametrize("case", EXPECTED)
def test_the_requester_is_told_what_was_wrong(outcomes, case):
    task, result = outcomes.ends[case]
    assert result.error is EXPECTED[case]
    assert result.digest == task.digest
    words, way_out = explain(result.error)
    assert words
    assert way_out


@pytest.mark.parametrize("case", ["good", "good data"])
def test_good_work_beside_it_is_done(outcomes, case):
    _, result = outcomes.ends[case]
    assert result.error is None
    (answer,) = [path for path in result.folder.iterdir() if path.name != "computed.json"]
    assert answer.read_bytes() == {"good": b"42\n", "good data": b"what was registered\n"}[case]


def test_nobody_lost_a_stake(net, outcomes):
    moved = payments(outcomes.before, outcomes.after)
    assert outcomes.before.faults() == outcomes.after.faults() == []
    assert sum(moved.values()) == 0
    assert {name: money.locked for name, money in outcomes.after.accounts.items() if money.locked} == {}
    count = outcomes.count
    assert moved["requester"] == -count * (POOL_PRICE + APP_PRICE)
    assert moved["seller"] == count * APP_PRICE
    assert moved["first"] + moved["second"] + moved["scheduler"] == count * POOL_PRICE
    assert moved["first"] == moved["second"] == count * (POOL_PRICE * 99 // 100 // 2)
    assert "kitty" not in moved
    assert [net.local.chain.score(net.names[name]) for name in WORKERS] == [count, count]


def test_the_checks_before_a_deal_would_have_said_so(net, outcomes):
    me, seller = net.local.client("requester"), net.local.client("seller")

    def said(app, args="good", trust=4):
        selling = seller.sign(AppOrder(app, APP_PRICE))
        wish = Wish(app, DealParams(args), workerpool=net.pool, trust=trust)
        checked = me.preflight(Orders(selling, net.offers[0], me.request(wish, selling, net.offers[0])))
        assert checked.unknown == ()
        return "; ".join(problem.what for problem in checked.problems)

    assert said(net.app) == ""
    foreign = local_app(net, "foreign")
    assert "linux/riscv64" in said(foreign)
    assert "has no" in said(local_app(net, "gone"))
    assert "iexec_args" in said(net.app, "good 'unclosed")


def local_app(net, name):
    """An app that was registered before, found by registering it again."""
    seller = net.local.client("seller")
    if name == "gone":
        return seller.register_app("gone", f"{net.local.registry_host}/nowhere:1", "0x" + "77" * 32)
    return seller.register_app(name, *programs.push(net.local.registry_host, net.local.run_dir, name, "linux/riscv64"))


def test_a_missing_image_that_is_known_already_ends_the_same_way(net, outcomes):
    """The scheduler has learned that no worker has an image for it: they must still be asked, to agree on that."""
    before = read_ledger(net.local.chain, net.names)
    _, result = finish(net, match(net, "good", app=local_app(net, "foreign")))
    assert result.error is Cause.APP_IMAGE_PLATFORM_UNSUPPORTED
    after = read_ledger(net.local.chain, net.names)
    assert {name: money.locked for name, money in after.accounts.items() if money.locked} == {}
    assert payments(before, after)["scheduler"] > 0


def test_the_book_refuses_what_is_not_signed_or_covered(net, outcomes):
    book = net.local.client("seller").book
    stranger = net.local.client("penniless")
    forged = stranger.sign(AppOrder(net.app, 0))
    with pytest.raises(ServiceError, match="not signed by") as error:
        book.publish(forged, net.local.client("seller").wallet)
    assert 400 <= error.value.status < 500
    uncovered = net.local.client("scheduler").sign(WorkerpoolOrder(net.pool, 1000 * RLC, volume=1))
    with pytest.raises(ServiceError, match=r"deposit|stake|escrow"):
        book.publish(uncovered, net.local.client("scheduler").wallet)
    with pytest.raises(BadInputError, match="belongs to"):
        stranger.publish(AppOrder(net.app, 0))
    with pytest.raises(ServiceError):
        book.publish(replace(net.selling, sign="0x"), net.local.client("seller").wallet)
    assert book.apps(net.app) == []


def test_a_requester_without_money_and_a_forged_order_cost_nothing(net, outcomes):
    poor, seller = net.local.client("penniless"), net.local.client("seller")
    before = read_ledger(net.local.chain, net.names)
    wish = Wish(net.app, workerpool=net.pool)
    orders = Orders(net.selling, net.offers[0], poor.request(wish, net.selling, net.offers[0]))
    with pytest.raises(BadInputError, match="in the escrow"):
        poor.preflight(orders).require()
    with pytest.raises(RevertedError):
        poor.match(orders)
    me = net.local.client("requester")
    forged = replace(seller.sign(AppOrder(net.app, 0)), appprice=1)
    with pytest.raises(RevertedError):
        me.match(Orders(forged, net.offers[0], me.request(wish, forged, net.offers[0])))
    assert payments(before, read_ledger(net.local.chain, net.names)) == {}


def test_a_worker_without_money_takes_no_work_and_says_why(net, outcomes):
    local = net.local
    process = local.start_worker("unfunded", net.pool, "linux/amd64", net.sun, stake_nrlc=10 * RLC, watch_seconds=1)
    wallet = net.names["unfunded"]
    deadline = time.monotonic() + 30
    while not any(w["wallet"] == wallet for w in local.status()["workers"]):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    task, result = finish(net, match(net, "good"))
    assert result.error is None
    assert wallet not in task.contributors
    lines = [json.loads(line) for line in process.log.read_text().splitlines() if line.startswith("{")]
    assert any("stake" in json.dumps(line).lower() and line["level"] in ("warning", "error") for line in lines)
    local.stack.stop_process("unfunded")


def test_after_all_this_work_is_still_done_and_paid(net, outcomes):
    before = read_ledger(net.local.chain, net.names)
    _, result = finish(net, match(net, "good"))
    assert result.error is None
    moved = payments(before, read_ledger(net.local.chain, net.names))
    # by now the workers' scores are such that one of them may be enough for the trust that is asked for
    assert moved.get("first", 0) + moved.get("second", 0) == POOL_PRICE * 99 // 100
    assert sum(moved.values()) == 0


def pew(net, capsys, *words, wallet="requester"):
    """`pew` with one of the wallets: exit code, stdout, stderr."""
    where = net.local.run_dir / "wallets" / wallet
    common = ["--rpc", net.local.rpc_url, "--deployment", str(net.local.deployment_file)]
    common += [
        "--scheduler",
        net.local.scheduler_url,
        "--wallet",
        f"{where}.json",
        "--password-file",
        f"{where}.password",
    ]
    code = pew_main([*common, *words])
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, out, err


def test_pew_from_offer_to_result(net, outcomes, capsys, tmp_path):
    code, _, err = pew(net, capsys, "run", net.app, "--args", "good", "--yes")
    assert code == 2
    assert "no pool offers" in err
    publish = ("order", "publish")
    assert pew(net, capsys, *publish, "app", net.app, "--price", "0.1", "--volume", "9", wallet="seller")[0] == 0
    offer = ["--price", "1", "--volume", "9", "--trust", "4"]
    assert pew(net, capsys, *publish, "workerpool", net.pool, *offer, wallet="scheduler")[0] == 0
    code, out, _ = pew(net, capsys, "order", "list", "workerpool")
    assert code == 0
    assert net.pool in out

    before = read_ledger(net.local.chain, net.names)
    code, out, err = pew(net, capsys, "run", net.app, "--args", "good", "--trust", "4", "--dry-run")
    assert code == 0
    assert "= 1.1 RLC" in err
    code, _, err = pew(net, capsys, "run", net.app, "--args", "good", "--yes", "--max-price", "1")
    assert code == 2
    assert "--max-price" in err
    code, _, err = pew(net, capsys, "run", net.app, "--args", "good", "--trust", "99", "--yes")
    assert code == 2
    code, _, err = pew(net, capsys, "run", net.app, "--args", "good")
    assert code == 2
    assert "--yes" in err
    assert payments(before, read_ledger(net.local.chain, net.names)) == {}

    folder = tmp_path / "good"
    code, out, err = pew(
        net, capsys, "run", net.app, "--args", "good", "--trust", "4", "--yes", "--output", str(folder)
    )
    assert code == 0, err
    assert "verified" in out
    assert "finalized" in err
    assert (folder / "iexec_out" / "answer.txt").read_text() == "42\n"


def test_pew_explains_an_error_result(net, outcomes, capsys, tmp_path):
    code, out, err = pew(
        net, capsys, "--json", "run", net.app, "--args", "fail", "--yes", "--output", str(tmp_path / "x")
    )
    assert code == 1
    told = json.loads(out)
    assert told["results"][0]["error"] == "APP_COMPUTE_FAILED"
    assert "error: the program ended with a non-zero exit code" in err
    assert "hint:" in err
    task = told["tasks"][0]
    code, out, _ = pew(net, capsys, "task", "show", task)
    assert code == 0
    assert "COMPLETED" in out
    assert "exit code 3" in out
    code, _, err = pew(net, capsys, "task", "claim", task)
    assert code == 1
    assert "refused" in err


def test_pew_fleet_shows_the_workers(net, outcomes, capsys):
    code, out, _ = pew(net, capsys, "fleet", "status")
    assert code == 0
    assert "first" in out
    assert "linux/amd64" in out
    assert "Wh" in out
