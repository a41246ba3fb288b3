"""The formulas against vectors published for the real system."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poco import consensus, ids, params, result
from poco.errors import BadInputError, Cause
from poco.orders import AppOrder, Domain, RequestOrder, WorkerpoolOrder

TASK = "0xac00b23a846b2a9258ef918be58333f931a077ed9d20285597a29c7a7d0357cc"
WORKER = "0x" + "22" * 20
HELLO = "0x2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


class Tree:
    def __init__(self, **files):
        self.files = {PurePosixPath(k.replace("__", "/").replace("_", ".")): v for k, v in files.items()}

    def kind(self, path):
        if path in self.files:
            return "file"
        return "dir" if path == PurePosixPath() or any(path in f.parents for f in self.files) else None

    def children(self, path):
        return {f.relative_to(path).parts[0] for f in self.files if path in f.parents}

    def chunks(self, path):
        return [self.files[path]]


def test_ids():
    assert ids.task_id("0x" + "11" * 32, 5) == TASK
    assert ids.authorization_hash(WORKER, TASK) == "0x0e1c35a4174266007c66dbd39196ff961cae777e73203a85081d374099872029"
    assert ids.result_hash(TASK, HELLO) == "0xee3f03f2fb23d3316be7449e406ece69b3c7af0b66879aafb67fc9af235c189b"
    assert ids.result_seal(WORKER, TASK, HELLO) == "0x8c9a61bd67f4d30937e7ebf82c723dc8920cf98b5a676047c3bd29fd53f06cad"


def test_digest_of_a_file():
    tree = Tree(computed_json=b'{"deterministic-output-path": "/iexec_out/out.txt"}', out_txt=b"hello")
    assert result.digest(tree, callback=False) == HELLO


def test_digest_of_a_folder_ignores_sub_folders():
    tree = Tree(
        computed_json=b'{"deterministic-output-path": "/iexec_out/d"}', d__a_txt=b"a", d__b_txt=b"b", d__s__c=b""
    )
    assert result.digest(tree, callback=False) == "0x9357c59d3ff5027438ddab3b1655da04ba890e0a43fac9d9568f78941d4b5a1f"


def test_digest_of_a_callback():
    tree = Tree(computed_json=b'{"callback-data": "0x0123"}')
    assert result.digest(tree, callback=True) == "0x667d3611273365cfb6e64399d5af0bf332ec3e5d6986f76bc7d10839b680eb58"


@pytest.mark.parametrize(
    ("computed", "cause"),
    [
        (None, Cause.COMPUTED_FILE_NOT_FOUND),
        (b"", Cause.COMPUTED_FILE_NOT_FOUND),
        (b"[]", Cause.COMPUTED_FILE_NOT_FOUND),
        (b"{}", Cause.COMPUTED_FILE_NOT_FOUND),
        (b"[" * 60_000, Cause.COMPUTED_FILE_NOT_FOUND),
        (b"{" + b" " * 70_000 + b"}", Cause.COMPUTED_FILE_NOT_FOUND),
        (b'{"deterministic-output-path": 3}', Cause.COMPUTED_FILE_NOT_FOUND),
        (b'{"callback-data": "0x01"}', Cause.COMPUTED_FILE_NOT_FOUND),
        (b'{"deterministic-output-path": "out.txt"}', Cause.COMPUTED_PATH_INVALID),
        (b'{"deterministic-output-path": "/etc/passwd"}', Cause.COMPUTED_PATH_INVALID),
        (b'{"deterministic-output-path": "/iexec_out/../etc/passwd"}', Cause.COMPUTED_PATH_INVALID),
        (b'{"deterministic-output-path": "/iexec_out/none"}', Cause.COMPUTED_PATH_INVALID),
    ],
)
def test_unusable_results(computed, cause):
    tree = Tree(out_txt=b"hello") if computed is None else Tree(out_txt=b"hello", computed_json=computed)
    with pytest.raises(result.ResultError) as error:
        result.digest(tree, callback=False)
    assert error.value.cause is cause
    assert error.value.hint


@pytest.mark.parametrize("callback", [False, True])
def test_error_results_agree(callback):
    files = result.error_result(Cause.APP_COMPUTE_FAILED, callback=callback)
    tree = Tree(**{name.replace(".", "_"): body for name, body in files.items()})
    assert result.digest(tree, callback=callback).startswith("0x")


def test_links():
    import hashlib

    cid = result.cid_of(hashlib.sha256(b"hello world").digest())
    assert cid == "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
    # as the npm package multiformats 13.4.2 names them
    for content, named in (
        (b"", "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"),
        (bytes(range(256)), "bafkreicav7zotuwysixepl6umshgsz2jofmhqx55dwuhbzyrajtl7fciqa"),
        (bytes(2**20), "bafkreibq4fevl27rgurgnxbp7adh42aqiyd6ouflxhj3gzmcxcxzbh6lla"),
    ):
        sha256 = hashlib.sha256(content).digest()
        assert result.cid_of(sha256) == named and result.sha256_of(named) == sha256
    for other in ("", "b", cid.upper(), cid[:-1], cid[:-1] + "f", "QmT5NvUtoM5nWFfrQdVrFtvGfKFmG7AHE8P34isapyhCxX"):
        assert result.sha256_of(other) is None
    assert result.on_chain_location(result.on_chain_link(cid)) == f"/ipfs/{cid}"
    assert result.on_chain_location(b"\xff") is None


@pytest.mark.parametrize(
    ("trust", "needed"),
    [(0, 1), (1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (8, 3), (10, 4), (20, 5), (50, 6), (100, 7), (1000, 10)],
)
def test_workers_needed(trust, needed):
    assert consensus.workers_needed(trust) == needed
    assert consensus.would_agree(consensus.Tally(trust), [2] * needed)
    assert not consensus.would_agree(consensus.Tally(trust), [2] * (needed - 1))


@given(
    price=st.integers(0, 10**18),
    ratio=st.integers(0, 100),
    shares=st.lists(st.tuples(st.integers(0, 1000), st.booleans()), min_size=1, max_size=20),
)
def test_pay_moves_the_whole_pot(price, ratio, shares):
    shares = [consensus.Share(str(i), consensus.weight(score), ok or i == 0) for i, (score, ok) in enumerate(shares)]
    stake = consensus.stake(price, 30)
    pay = consensus.pay(price, stake, ratio, shares)
    losers = sum(not s.accurate for s in shares)
    assert sum(pay.workers.values()) + pay.scheduler == price + losers * stake
    assert all(v >= 0 for v in pay.workers.values()) and pay.scheduler >= 0


def test_params():
    assert params.parse('{"iexec_args": "a \'b c\'"}').argv() == ["a", "b c"]
    assert params.parse("--plain 1").argv() == ["--plain", "1"]
    assert params.parse(params.DealParams("x", ("http://h/a",)).dumps()) == params.DealParams("x", ("http://h/a",))
    for bad in (
        '{"iexec_args": 1}',
        '{"iexec_input_files": "a"}',
        '{"iexec_result_encryption": true}',
        "'open",
        "x" * 20_000,
    ):
        with pytest.raises(BadInputError) as error:
            params.parse(bad)
        assert error.value.hint


def test_orders_round_trip_and_name_the_wrong_field():
    order = RequestOrder(app="0x" + "11" * 20, requester="0x" + "22" * 20, params="é", workerpoolmaxprice=2**60)
    assert RequestOrder.from_json(order.as_json()) == order
    for field, value in [
        ("app", "0x12"),
        ("volume", -1),
        ("volume", True),
        ("salt", "0x"),
        ("params", 3),
        ("trust", "x"),
    ]:
        with pytest.raises(BadInputError, match=f"RequestOrder.{field}"):
            RequestOrder.from_json({**order.as_json(), field: value})
    with pytest.raises(BadInputError, match="unknown field foo"):
        AppOrder.from_json({**AppOrder(app="0x" + "11" * 20).as_json(), "foo": 1})


def test_order_hash_equals_eth_account():
    from eth_account.messages import encode_typed_data
    from eth_utils import keccak

    domain = Domain(1337, "0x" + "33" * 20)
    for order in (
        AppOrder(app="0x" + "11" * 20, appprice=5),
        WorkerpoolOrder(workerpool="0x" + "11" * 20, trust=4, salt="0x" + "09" * 32),
        RequestOrder(app="0x" + "11" * 20, requester="0x" + "22" * 20, params='{"iexec_args":"é"}'),
    ):
        message = encode_typed_data(full_message=order.typed_data(domain))
        assert order.hash(domain) == "0x" + keccak(b"\x19" + message.version + message.header + message.body).hex()
