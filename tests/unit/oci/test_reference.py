"""Image references and platforms: what is accepted, normalised and refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oci import platform, reference
from poco.errors import BadInputError

DIGEST = "sha256:" + "ab" * 32

names = st.from_regex(r"[a-z0-9]+([._-][a-z0-9]+)*(/[a-z0-9]+([._-][a-z0-9]+)*)?", fullmatch=True).filter(
    lambda name: len(name) < 200
)
hosts = st.one_of(
    st.sampled_from(["localhost", "localhost:5000", "127.0.0.1:5000", "[::1]:5000", "ghcr.io"]),
    st.integers(1, 65535).map(lambda port: f"registry.example.org:{port}"),
)
tags = st.one_of(st.none(), st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,30}", fullmatch=True))


@settings(deadline=None)
@given(host=hosts, repository=names, tag=tags, digest=st.sampled_from([None, DIGEST]))
def test_what_is_printed_is_parsed_again(host, repository, tag, digest):
    image = reference.Reference(host, repository, tag, digest)
    assert reference.parse(str(image)) == image


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_parsed_or_refused(text):
    try:
        image = reference.parse(text)
    except BadInputError as error:
        assert error.hint
    else:
        assert reference.parse(str(image)) == image


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("alpine", "docker.io/library/alpine"),
        ("alpine:3.20", "docker.io/library/alpine:3.20"),
        ("docker.io/alpine:3", "docker.io/library/alpine:3"),
        ("registry.hub.docker.com/iexechub/oracle:1", "docker.io/iexechub/oracle:1"),
        ("iexechub/oracle:1", "docker.io/iexechub/oracle:1"),
        ("localhost/app", "localhost/app"),
        ("127.0.0.1:5000/motion-detection:0.1.0", "127.0.0.1:5000/motion-detection:0.1.0"),
        (f"host:5000/a/b@{DIGEST}", f"host:5000/a/b@{DIGEST}"),
        (f"host.io/a:t@{DIGEST}", f"host.io/a:t@{DIGEST}"),
    ],
)
def test_names_are_normalised(text, full):
    assert str(reference.parse(text)) == full


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "/", "@", "a:b:c", "UPPER/case", "host:5000/", "host:99999/a", "host:0/a", "a/../b", "a//b",
        "a:" + "x" * 129, "a@sha256:12", "a@md5:" + "0" * 32,
        "-a", "a b", "http://host/a", "host.io/" + "a" * 260, "a\n",
    ],
)  # fmt: skip
def test_junk_is_refused(text):
    with pytest.raises(BadInputError):
        reference.parse(text)


def test_selector_prefers_the_digest_then_the_tag():
    assert reference.parse(f"a:1@{DIGEST}").selector == DIGEST
    assert reference.parse("a:1").selector == "1"
    assert reference.parse("a").selector == "latest"
    assert str(reference.parse("h:1/a:1").at(DIGEST)) == f"h:1/a@{DIGEST}"


@pytest.mark.parametrize(
    ("checksum", "digest"),
    [
        (None, None), ("", None), ("0x", None), ("0x" + "00" * 32, None), ("0x" + "AB" * 32, DIGEST), (DIGEST, DIGEST),
    ],
)  # fmt: skip
def test_checksums_of_the_chain(checksum, digest):
    assert reference.digest_of_checksum(checksum) == digest


@pytest.mark.parametrize("checksum", ["0x12", "12" * 32, "sha256:xyz", "0x" + "gg" * 32])
def test_bad_checksums_are_refused(checksum):
    with pytest.raises(BadInputError):
        reference.digest_of_checksum(checksum)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost:5000", True), ("127.0.0.1", True), ("127.3.2.1:80", True), ("[::1]:5000", True),
        ("a.localhost", True), ("10.0.0.1:5000", False),
        ("docker.io", False), ("localhost.evil.org", False), ("127.0.0.1.evil.org", False),
    ],
)  # fmt: skip
def test_only_this_machine_is_spoken_to_in_clear(host, loopback):
    assert reference.is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("text", "usual"),
    [
        ("linux/arm64/v8", "linux/arm64"), ("linux/aarch64", "linux/arm64"), ("linux/x86_64", "linux/amd64"),
        ("linux/arm", "linux/arm/v7"), ("linux/armhf", "linux/arm/v7"), ("linux/arm/v6", "linux/arm/v6"),
        ("Linux/AMD64", "linux/amd64"),
    ],
)  # fmt: skip
def test_platforms_are_normalised(text, usual):
    assert str(platform.parse(text)) == usual


@pytest.mark.parametrize("text", ["", "linux", "linux/", "a/b/c/d", "linux/arm v7", "linux//amd64"])
def test_junk_platforms_are_refused(text):
    with pytest.raises(BadInputError):
        platform.parse(text)


@pytest.mark.parametrize(
    ("machine", "image", "runs"),
    [
        ("linux/arm/v7", "linux/arm/v7", True),
        ("linux/arm/v7", "linux/arm/v6", True),
        ("linux/arm/v6", "linux/arm/v7", False),
        ("linux/arm64", "linux/arm/v7", False),
        ("linux/amd64", "linux/amd64/v3", False),
        ("linux/amd64", "windows/amd64", False),
        ("linux/arm64", "linux/arm64", True),
    ],
)
def test_what_runs_where(machine, image, runs):
    assert bool(platform.parse(machine).runs(platform.parse(image))) is runs


def test_the_closest_variant_wins():
    v7 = platform.parse("linux/arm/v7")
    assert v7.runs(platform.parse("linux/arm/v7")) > v7.runs(platform.parse("linux/arm/v6"))
