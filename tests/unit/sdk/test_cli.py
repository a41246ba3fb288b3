"""`pew` as a user types it: words and exit codes, no stack traces."""

import json
import os
import subprocess
import sys

import pytest

from poco.hexes import address
from sdk.cli import main

KEY = "0x" + "11" * 32
KEYS_ADDRESS = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
ADDRESS = "0x" + "12" * 20


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("PEW_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    secret(tmp_path / "pw", "secret\n")
    return tmp_path


def secret(path, text):
    path.touch(0o600)
    path.write_text(text)


def pew(capsys, *words):
    code = main(["--wallet", "w.json", "--password-file", "pw", *words])
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, out, err


def test_every_command_has_help_with_an_example(capsys):
    for name in (
        "up",
        "demo",
        "doctor",
        "wallet",
        "account",
        "app",
        "dataset",
        "dapp",
        "pool",
        "order",
        "run",
        "task",
        "deal",
        "fleet",
        "energy",
        "worker",
        "scheduler",
        "completion",
    ):
        assert main([name, "--help"]) == 0
        assert "Examples:" in capsys.readouterr().out
    assert main(["--help"]) == 0
    assert "Exit codes" in capsys.readouterr().out
    assert main([]) == 2


def test_a_wallet_is_made_once(place, capsys):
    code, out, _ = pew(capsys, "wallet", "new", "--json")
    assert code == 0
    made = json.loads(out)
    assert address(made["address"]) == made["address"]
    assert (place / "w.json").stat().st_mode & 0o777 == 0o600
    assert "secret" not in (place / "w.json").read_text()
    assert pew(capsys, "wallet", "show")[1].strip() == made["address"]
    code, _, err = pew(capsys, "wallet", "new")
    assert code == 2
    assert "exists already" in err


def test_keys_and_keystores_are_imported(place, capsys):
    secret(place / "key", KEY)
    assert json.loads(pew(capsys, "--json", "wallet", "import", "key")[1])["address"] == KEYS_ADDRESS
    (place / "w.json").rename(place / "old.json")
    assert json.loads(pew(capsys, "wallet", "import", "old.json", "--json")[1])["address"] == KEYS_ADDRESS
    (place / "w.json").unlink()
    for text in ("0x12", "hello", "{}"):
        secret(place / "bad", text)
        code, _, err = pew(capsys, "wallet", "import", "bad")
        assert code == 2
        assert "error:" in err
        assert not (place / "w.json").exists()
    assert pew(capsys, "wallet", "import", "nothing")[0] == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["account", "deposit", "x"], "is not an amount"),
        (["account", "show", "0x12"], "is not an address"),
        (["task", "show", "0x12"], "32 are needed"),
        (["run", ADDRESS, "--category", "XXL"], "is not a category"),
        (["run", ADDRESS, "--trust", "0"], "trust"),
        (["order", "list", "pizza"], "pizza"),
        (["dataset", "register", "x", "http://x"], "no keystore|checksum"),
        (["nonsense"], "No such command"),
        (["wallet", "show", "--nonsense"], "No such option"),
        (["account", "show", ADDRESS], "no deployment file"),
        (["wallet", "show"], "no keystore"),
    ],
)
def test_bad_input_is_said_in_words(place, capsys, words, said):
    code, _, err = pew(capsys, *words)
    assert code == 2
    assert "error:" in err
    assert "hint:" in err
    assert any(part in err for part in said.split("|"))


def test_errors_as_json(place, capsys):
    code, out, err = pew(capsys, "account", "show", ADDRESS, "--json")
    assert code == 2
    assert json.loads(out)["message"] in err


def test_an_unattended_run_never_waits_for_a_password(place):
    call = [sys.executable, "-m", "sdk.cli", "--wallet", "w.json", "wallet", "new"]
    done = subprocess.run(
        call,
        cwd=place,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert "--password-file" in done.stderr


def test_a_node_that_does_not_answer(place, capsys):
    contracts = dict.fromkeys(("RLC", "hub", "AppRegistry", "DatasetRegistry", "WorkerpoolRegistry"), ADDRESS)
    (place / "d.json").write_text(json.dumps({"network": "x", "chain_id": 1337, "block": 1, "contracts": contracts}))
    code, _, err = pew(capsys, "--rpc", "http://127.0.0.1:1", "--deployment", "d.json", "account", "show", ADDRESS)
    assert code in (1, 2)
    assert "no chain answers" in err or "abi" in err
