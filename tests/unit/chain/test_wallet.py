"""Keystores and signatures."""

import json
import stat

import pytest

from chain import deployment, wallet
from poco.errors import BadInputError
from poco.orders import AppOrder, Domain

KEY = "0x" + "01" * 32
ADDRESS = "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1"


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "keys" / "a.json"
    wallet.create(path, "secret", key=KEY, iterations=1024)
    return path


def test_keystore_round_trip_is_private_and_holds_no_key(store):
    assert wallet.load(store, "secret").address == ADDRESS
    assert stat.S_IMODE(store.stat().st_mode) == 0o600
    assert "01" * 32 not in store.read_text()


def test_repr_shows_no_key(store):
    opened = wallet.load(store, "secret")
    assert repr(opened) == f"Wallet({ADDRESS})"


def test_a_keystore_is_never_overwritten(store):
    before = store.read_text()
    with pytest.raises(BadInputError, match="exists already"):
        wallet.create(store, "other")
    assert store.read_text() == before


@pytest.mark.parametrize(
    ("content", "password", "says"),
    [
        (None, "wrong", "wrong password"),
        ("{}", "secret", "cannot be read"),
        ('{"crypto": {}, "version": 3}', "secret", "not a keystore"),
        ("no json", "secret", "cannot be read"),
        ("[1]", "secret", "cannot be read"),
    ],
)
def test_bad_keystores(store, content, password, says):
    if content is not None:
        store.write_text(content)
    with pytest.raises(BadInputError, match=says) as error:
        wallet.load(store, password)
    assert error.value.hint


def test_missing_keystore_and_password_file(tmp_path):
    with pytest.raises(BadInputError, match="there is no keystore"):
        wallet.load(tmp_path / "none", "x")
    with pytest.raises(BadInputError, match="password file"):
        wallet.read_password(tmp_path / "none")
    (tmp_path / "pw").write_text("with space \n")
    assert wallet.read_password(tmp_path / "pw") == "with space "


def test_bad_private_key_is_not_echoed(tmp_path):
    with pytest.raises(BadInputError) as error:
        wallet.create(tmp_path / "k", "x", key="0xdead")
    assert "dead" not in str(error.value)


def test_signatures_recover(store):
    opened = wallet.load(store, "secret")
    digest = "0x" + "ab" * 32
    assert wallet.recover_message(digest, opened.sign_message(digest)) == ADDRESS
    domain = Domain(1337, "0x" + "33" * 20)
    order = opened.sign_order(AppOrder(app="0x" + "11" * 20), domain)
    assert wallet.recover_typed(order.typed_data(domain), order.sign) == ADDRESS
    other = Domain(1338, "0x" + "33" * 20)
    assert wallet.recover_typed(order.typed_data(other), order.sign) != ADDRESS
    for bad in ("0x", "0x" + "00" * 65, "nothing"):
        with pytest.raises(BadInputError):
            wallet.recover_message(digest, bad)


def test_deployment_files(tmp_path):
    path = tmp_path / "net.json"
    with pytest.raises(BadInputError, match="no deployment file"):
        deployment.load(path)
    names = ("RLC", "hub", "AppRegistry", "DatasetRegistry", "WorkerpoolRegistry")
    body = {"network": "n", "chain_id": 5, "block": 1, "contracts": dict.fromkeys(names, ADDRESS)}
    path.write_text(json.dumps(body))
    assert deployment.load(path).domain == Domain(5, ADDRESS)
    for broken in ("{", "[]", json.dumps({**body, "contracts": {}}), json.dumps({**body, "chain_id": "x"})):
        path.write_text(broken)
        with pytest.raises(BadInputError, match="not a deployment file"):
            deployment.load(path)
