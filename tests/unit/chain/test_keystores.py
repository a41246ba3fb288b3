"""Keystores of other programs: found, opened, copied, encrypted anew."""

import json
import stat
from pathlib import Path

import pytest
from eth_account import Account

from chain import keystores, wallet
from poco.errors import BadInputError

KEY = "0x" + "01" * 32
ADDRESS = "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1"
#: Written by `iexec wallet create` of npm's iexec 8.24.0.
IEXEC_PASSWORD, IEXEC_ADDRESS = "a password for trials", "0x9F074280B7b2FBA7b33ec6CBB718c495C4c72081"
IEXEC = """{
  "address": "9f074280b7b2fba7b33ec6cbb718c495c4c72081",
  "id": "35fb8978-83e2-4cfa-8042-85871915b0a0",
  "version": 3,
  "Crypto": {
    "cipher": "aes-128-ctr",
    "cipherparams": {
      "iv": "89ff21569dd2e3f0e94f7407d8136809"
    },
    "ciphertext": "99973f692da3d931910109f83b9ec771d71e3e55e5b6ce6646102eeab256e01f",
    "kdf": "scrypt",
    "kdfparams": {
      "salt": "90ca597da3a70c6f65221cdc9d9068f79955950f221260a9b9a08584072c0ea3",
      "n": 131072,
      "dklen": 32,
      "p": 1,
      "r": 8
    },
    "mac": "b41265f91eada5af7e9b6e232daa3e4d27b034cc252bfad1141b1eba127b1d8c"
  }
}"""


@pytest.fixture
def ours(tmp_path):
    path = tmp_path / ".config" / "pew" / "alice.json"
    wallet.create(path, "secret", key=KEY, iterations=1024)
    return path


def test_a_keystore_of_iexecs_client_opens_and_is_copied(tmp_path):
    path = tmp_path / "UTC--2026-11-23T12-19-03.397000000Z--9F074280B7b2FBA7b33ec6CBB718c495C4c72081"
    path.write_text(IEXEC)
    assert keystores.address_of(path) == IEXEC_ADDRESS
    with pytest.raises(BadInputError, match="wrong password"):
        wallet.load(path, "another")
    copy = tmp_path / "copy.json"
    assert keystores.take(path, copy, IEXEC_PASSWORD).address == IEXEC_ADDRESS
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert wallet.load(copy, IEXEC_PASSWORD).address == IEXEC_ADDRESS


def test_a_keystore_without_an_address(tmp_path, ours):
    """Some programs leave the address out: the copy has it."""
    data = json.loads(ours.read_text())
    del data["address"]
    path = tmp_path / "nameless"
    path.write_text(json.dumps(data))
    with pytest.raises(BadInputError, match="does not name its address"):
        keystores.address_of(path)
    keystores.take(path, tmp_path / "copy", "secret")
    assert keystores.address_of(tmp_path / "copy") == ADDRESS


def test_keystores_of_all_programs_are_found(tmp_path, ours):
    where = keystores.folders(tmp_path)
    assert where["brownie"] == tmp_path / ".brownie" / "accounts"
    for folder in (where["brownie"], where["iexec"]):
        folder.mkdir(parents=True)
    data = Account.encrypt("0x" + "02" * 32, "x", iterations=1024)
    (where["brownie"] / "bob.json").write_text(json.dumps(data))
    (where["brownie"] / "notes.json").write_text("{}")
    (where["brownie"] / "huge.json").write_text(" " * 70_000)
    (where["iexec"] / keystores.usual_name(IEXEC_ADDRESS, 1_700_000_000.5)).write_text(IEXEC)
    found = keystores.found(where)
    assert [(one.store, one.name, one.private) for one in found] == [
        ("pew", "alice", True),
        ("brownie", "bob", False),
        ("iexec", "UTC--2023-11-14T22-13-20.500000000Z--" + IEXEC_ADDRESS[2:], False),
    ]
    assert keystores.resolve(Path("bob"), where) == where["brownie"] / "bob.json"
    assert keystores.resolve(Path(ADDRESS.lower()), where) == ours
    assert keystores.resolve(Path("nobody"), where) == Path("nobody")
    (where["brownie"] / "alice.json").write_text(json.dumps(data))
    with pytest.raises(BadInputError, match="2 keystores are called alice"):
        keystores.resolve(Path("alice"), where)


def test_a_new_password(ours):
    opened = wallet.load(ours, "secret")
    keystores.change_password(ours, opened, "other", iterations=1024)
    assert stat.S_IMODE(ours.stat().st_mode) == 0o600
    assert wallet.load(ours, "other").address == ADDRESS
    with pytest.raises(BadInputError, match="wrong password"):
        wallet.load(ours, "secret")
    assert [path.name for path in ours.parent.iterdir()] == ["alice.json"]


def test_a_new_password_that_cannot_be_written_leaves_the_old_one(ours, monkeypatch):
    def broken(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keystores.os, "fsync", broken)
    with pytest.raises(OSError, match="No space"):
        keystores.change_password(ours, wallet.load(ours, "secret"), "other", iterations=1024)
    assert wallet.load(ours, "secret").address == ADDRESS
    assert [path.name for path in ours.parent.iterdir()] == ["alice.json"]


def test_secrets_that_everybody_may_read(tmp_path):
    path = tmp_path / "password"
    path.write_text("x")
    path.chmod(0o644)
    with pytest.raises(BadInputError, match="everybody on this machine may read") as error:
        keystores.require_private(path, "password file")
    assert error.value.hint == f"chmod 600 {path}"
    path.chmod(0o640)
    keystores.require_private(path, "password file")
    with pytest.raises(BadInputError, match="cannot read the password file"):
        keystores.require_private(tmp_path / "none", "password file")


def test_files_that_are_no_keystores(tmp_path):
    for content in ("", "[]", "{}", '{"address": "0x12"}', "\x00\x01"):
        (tmp_path / "x").write_text(content)
        with pytest.raises(BadInputError, match="cannot be read as a keystore"):
            keystores.read(tmp_path / "x")
    with pytest.raises(BadInputError, match="is a folder"):
        keystores.read(tmp_path)
    with pytest.raises(BadInputError, match="there is no keystore"):
        keystores.read(tmp_path / "none")
