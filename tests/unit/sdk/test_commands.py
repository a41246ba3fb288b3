"""The command line as a whole: help, exit codes as documented, completion, daemons, declarations, terms of a run."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from chain import wallet as wallets
from poco import params
from poco.errors import BadInputError
from poco.tags import GPU, GREEN, asks
from sdk import cli, cli_common, cli_run, cli_system
from sdk.cli import cli as root
from sdk.cli import main
from sdk.finder import Found
from sdk.quotes import Quote
from worker import config as worker_config

ROOT = Path(__file__).resolve().parents[3]
ADDRESS, POOL = "0x" + "12" * 20, "0x" + "34" * 20
TABLE = re.compile(r"^\| (\d+) \| .*? \|(.*?)\|$", re.MULTILINE)


def commands(group=root, path=()):
    """Every command with its path."""
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in list(os.environ):
        if name.startswith("PEW_"):
            monkeypatch.delenv(name)
    (tmp_path / "pw").touch(0o600)
    (tmp_path / "pw").write_text("secret\n")
    return tmp_path


def said(capsys, *words):
    code = main(["--json", "--password-file", "pw", *words])
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, json.loads(out) if out else None, err


def test_every_command_says_what_it_does_and_every_option_what_it_is():
    daemons = {"up", "demo", "worker", "scheduler", "completion"}
    for path, command in commands():
        assert command.help, path
        options = {option for parameter in command.params for option in parameter.opts}
        if not isinstance(command, click.Group) and path[0] not in daemons | {"rollout"}:
            assert "--json" in options, path
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help or parameter.name == "version", (path, parameter.name)


def test_what_sends_a_transaction_has_a_dry_run():
    wanted = [
        ("account", "deposit"), ("account", "withdraw"), ("app", "register"), ("dataset", "register"),
        ("pool", "register"), ("pool", "policy"), ("pool", "green"), ("order", "cancel"), ("task", "claim"),
        ("deal", "claim"), ("run",),
    ]  # fmt: skip
    found = dict(commands())
    for path in wanted:
        assert {"--dry-run", "--yes"} <= {o for p in found[path].params for o in p.opts}, path


def test_every_command_stands_in_the_reference():
    text = (ROOT / "docs" / "reference" / "sdk.md").read_text()
    for name in cli._Commands.where:
        assert f"`pew {name}" in text, name


def test_the_exit_codes_are_those_of_the_reference(place, capsys, monkeypatch):
    text = (ROOT / "docs" / "reference" / "sdk.md").read_text()
    rows = dict(TABLE.findall(text[text.index("<!-- exit codes -->") : text.index("<!-- /exit codes -->")]))
    assert set(rows) == {"0", "1", "2", "130"}

    def ends(code, word, *words):
        ended, data, _ = said(capsys, *words)
        assert (ended, data["error"]) == (code, word)
        assert f"`{word}`" in rows[str(code)]

    assert said(capsys, "wallet", "list")[:2] == (0, [])
    ends(2, "USAGE", "nonsense")
    ends(2, "BAD_INPUT", "wallet", "show")
    ends(2, "NO_CHECKOUT", "up") if cli_system.checkout(Path(cli_system.__file__).parent) is None else None
    (place / "pw").chmod(0o644)
    ends(2, "NOT_PRIVATE", "wallet", "new")
    ends(1, "SERVICE_UNREACHABLE", "--scheduler", "http://127.0.0.1:1", "fleet", "status")
    code, findings, err = said(capsys, "doctor")
    assert code == 1 and "`NOT_READY`" in rows["1"] and "not ready" in err
    assert {f["name"] for f in findings if not f["ok"]} == {"wallet", "contracts", "scheduler"}
    assert all(f["cure"] for f in findings if not f["ok"])

    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("chain.keystores.found", interrupted)
    assert main(["wallet", "list"]) == 130


def test_daemons_that_are_not_installed_and_no_checkout(place, capsys, monkeypatch):
    monkeypatch.setattr(cli_system, "find_spec", lambda _name: None)
    for daemon in ("worker", "scheduler"):
        code, data, err = said(capsys, daemon, "doctor", "--config", "x")
        assert (code, data["error"]) == (2, "NOT_INSTALLED")
        assert f"requirements-{daemon}.txt" in err
        assert (ROOT / f"requirements-{daemon}.txt").exists()
    monkeypatch.setattr(cli_system, "checkout", lambda _start: None)
    for name in ("up", "demo"):
        code, data, _ = said(capsys, name)
        assert (code, data["error"]) == (2, "NO_CHECKOUT")


def test_a_daemon_takes_the_place_of_pew(place):
    """Its words and its exit code are its own."""
    call = [sys.executable, "-m", "sdk.cli", "worker", "doctor", "--config", "none.yaml"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(call, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "none.yaml" in done.stderr


def test_checkouts_are_found_from_inside(tmp_path):
    assert cli_system.checkout(ROOT / "dapps" / "template") == ROOT
    assert cli_system.checkout(tmp_path) is None


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(capsys, monkeypatch, shell):
    assert main(["completion", shell]) == 0
    assert f"_PEW_COMPLETE={shell}_complete" in capsys.readouterr().out


def test_completion_knows_commands_and_options(place):
    def completed(words, count):
        env = {**os.environ, "PYTHONPATH": str(ROOT), "_PEW_COMPLETE": "bash_complete"}
        env |= {"COMP_WORDS": words, "COMP_CWORD": str(count)}
        call = [sys.executable, "-c", "from sdk.cli import main; main([])"]
        done = subprocess.run(call, env=env, capture_output=True, text=True, timeout=60, check=False)
        return [line.split(",")[1] for line in done.stdout.splitlines()]

    assert completed("pew wal", 1) == ["wallet"]
    assert "--retry-failed" in completed("pew run --re", 2)


def test_a_worker_is_declared_its_owners(place, capsys):
    """`pew wallet declare` writes what `operator_file` of a worker reads."""
    names = ("RLC", "hub", "AppRegistry", "DatasetRegistry", "WorkerpoolRegistry")
    body = {"network": "n", "chain_id": 1337, "block": 1, "contracts": dict.fromkeys(names, ADDRESS)}
    (place / "d.json").write_text(json.dumps(body))
    owner = wallets.create(place / "owner.json", "secret", iterations=1024)
    words = ("--deployment", "d.json", "--wallet", "owner.json", "wallet", "declare", ADDRESS, "--pool", POOL)
    code, data, _ = said(capsys, *words, "--output", "operator.json")
    assert (code, data["operator"], data["worker"].lower()) == (0, owner.address, ADDRESS)
    config = SimpleNamespace(operator_file=place / "operator.json")
    declared = worker_config.WorkerConfig.declaration(config)
    from poco.wire import operator_typed_data

    typed = operator_typed_data(1337, data["pool"], data["worker"], owner.address)
    assert wallets.recover_typed(typed, declared.signature) == owner.address


def test_what_a_run_asks_of_workers_stands_in_its_params():
    options = {p.name: p.get_default(click.Context(cli_run.run)) for p in cli_run.run.params}
    options |= {"memory_mb": 256, "disk_mb": 500, "cpus": 2, "gpu": True, "green": True, "input_files": ()}
    made = cli_run.wish(Found(ADDRESS, "x", ""), options, ("http://a/b",))
    asked = params.parse(made.params.dumps())
    assert asked.needs == params.Needs(256, 500, 2)
    assert asked.input_files == ("http://a/b",)
    assert asks(made.tag, GREEN) and asks(made.tag, GPU)
    assert not asks(cli_run.wish(Found(ADDRESS, "x", ""), {**options, "green": False}).tag, GREEN)


def test_nothing_is_sent_before_it_is_agreed_to(monkeypatch, capsys):
    quote = Quote("deposit", 21_000, 10**15)
    settings = cli_common.Settings(dry_run=True)
    with pytest.raises(click.exceptions.Exit) as end:
        settings._approve(quote)
    assert end.value.exit_code == 0
    assert "nothing was sent" in capsys.readouterr().out
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    answers = iter((False, True))

    def confirm(text, abort, err):
        assert "about 21000 gas, 0.001000 of" in text
        if not next(answers):
            raise click.Abort

    monkeypatch.setattr(click, "confirm", confirm)
    with pytest.raises(click.Abort):
        cli_common.Settings()._approve(quote)
    cli_common.Settings()._approve(quote)
    cli_common.Settings(yes=True)._approve(quote)


def test_files_do_not_go_with_other_inputs(place, capsys):
    (place / "a").write_text("x")
    for more in (["--volume", "2"], ["--dataset", ADDRESS], ["--input-file", "http://x/y"]):
        code, _, err = said(capsys, "run", "motion-detection", "a", *more)
        assert code == 2
        assert "do not go with files" in err


def test_an_unknown_shell_is_bad_input(place, capsys):
    assert said(capsys, "completion", "tcsh")[0] == 2
    with pytest.raises(BadInputError):
        wallets.read_password(place / "none")
