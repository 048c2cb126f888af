"""How a certificate is asked for: exact arguments, hostile names, and one sentence for every way of being refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ansible.module_utils import acme_client
from ansible.module_utils.acme_client import PUBLIC_SERVER, Acme, checked_names, issue, make_key, reach, refusal
from ansible.module_utils.host_step import StepError
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.certificates import make

ACME = Acme("https://acme.example.org/dir", "", "/srv/acme", "", "/c", "/w", "/l")
Program = Callable[[str], None]


@pytest.fixture
def certbot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Puts a certbot into the path that notes its arguments and then does what it is told."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")

    def put(script: str) -> None:
        path = programs / "certbot"
        path.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/arguments\necho "$REQUESTS_CA_BUNDLE" > {tmp_path}/bundle\n'
            f'for one; do [ "$before" = --fullchain-path ] && chain=$one; before=$one; done\n{script}\n'
        )
        path.chmod(0o755)

    return put


@pytest.fixture
def key(tmp_path: Path) -> str:
    make_key(str(tmp_path / "key.pem"), "ecdsa")
    return str(tmp_path / "key.pem")


def arguments(tmp_path: Path) -> list[str]:
    return (tmp_path / "arguments").read_text().splitlines()


def issuing(key: str, tmp_path: Path, *names: str) -> str:
    """Return a script that hands out a certificate for the key."""
    own = load_pem_private_key(Path(key).read_bytes(), None)
    (tmp_path / "issued.pem").write_bytes(make(names, key=own).pem)  # type: ignore[arg-type]  # one of its kinds
    return f'cp {tmp_path}/issued.pem "$chain"'


def test_a_new_key_is_for_root_alone(key: str) -> None:
    assert Path(key).stat().st_mode & 0o777 == 0o600
    assert "PRIVATE KEY" in Path(key).read_text()


def test_the_request_goes_in_and_the_chain_comes_out(certbot: Program, key: str, tmp_path: Path) -> None:
    certbot(issuing(key, tmp_path, "a.example.org", "b.example.org"))
    directory = issue(ACME, ["a.example.org", "b.example.org"], key, "webroot", str(tmp_path))

    said = arguments(tmp_path)
    assert (Path(directory) / "fullchain.pem").read_bytes() == (tmp_path / "issued.pem").read_bytes()
    assert said[:3] == ["certonly", "--non-interactive", "--agree-tos"]
    assert said[said.index("--webroot-path") + 1] == "/srv/acme"
    assert said[said.index("--server") + 1] == ACME.server
    assert "--standalone" not in said
    assert "--dry-run" not in said
    assert "--register-unsafely-without-email" in said


def test_standalone_names_no_webroot_and_the_bundle_reaches_certbot(certbot: Program, key: str, tmp_path: Path) -> None:
    certbot(issuing(key, tmp_path, "a.example.org"))
    given = replace(ACME, ca_bundle="/lab.pem", email="ops@example.org")
    issue(given, ["a.example.org"], key, "standalone", str(tmp_path))
    said = arguments(tmp_path)
    assert "--standalone" in said
    assert "--webroot" not in said
    assert said[said.index("--email") + 1] == "ops@example.org"
    assert (tmp_path / "bundle").read_text() == "/lab.pem\n"


@pytest.mark.parametrize(("server", "is_dry"), [(PUBLIC_SERVER, True), (ACME.server, False)])
def test_a_trial_is_certbots_dry_run_only_where_there_is_a_staging_server(
    certbot: Program, key: str, tmp_path: Path, server: str, is_dry: bool
) -> None:
    certbot("exit 0" if is_dry else issuing(key, tmp_path, "a.example.org"))
    issue(replace(ACME, server=server), ["a.example.org"], key, "webroot", str(tmp_path), trial=True)
    assert ("--dry-run" in arguments(tmp_path)) is is_dry


@pytest.mark.parametrize("wrong", ["other name", "other key", "junk", "nothing"])
def test_what_comes_back_is_looked_at_before_it_is_used(certbot: Program, key: str, tmp_path: Path, wrong: str) -> None:
    make_key(str(tmp_path / "other.pem"), "ecdsa")
    script = {"junk": 'echo junk > "$chain"', "nothing": "exit 0"}.get(wrong)
    if script is None:
        own = key if wrong == "other name" else str(tmp_path / "other.pem")
        script = issuing(own, tmp_path, "evil.example.org" if wrong == "other name" else "a.example.org")
    certbot(script)
    with pytest.raises(StepError, match=r"of no use.*nothing was changed"):
        issue(ACME, ["a.example.org"], key, "webroot", str(tmp_path))


def test_a_refusal_is_told_in_certbots_words_without_what_a_terminal_would_obey(
    certbot: Program, key: str, tmp_path: Path
) -> None:
    certbot('echo "Saving debug log to /l"; printf "Detail: \\033[31m404 for a.example.org\\n" >&2; exit 1')
    with pytest.raises(StepError) as refused:
        issue(ACME, ["a.example.org"], key, "webroot", str(tmp_path))
    said = str(refused.value)
    assert "404 for a.example.org" in said
    assert said.endswith("nothing was changed")
    assert "\x1b" not in said
    assert "debug log" not in said


@pytest.mark.parametrize(
    "printed",
    [
        "urn:ietf:params:acme:error:rateLimited :: too many certificates already issued",
        "Error creating new order :: too many failed authorizations recently",
    ],
)
def test_a_rate_limit_is_told_as_one(printed: str) -> None:
    assert "rate limit is reached" in refusal(ACME.server, printed)


def test_a_flood_of_words_stays_short() -> None:
    assert len(refusal(ACME.server, "word " * 1_000_000)) < 700


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["*.example.org"],
        ["a.example.org,DNS:evil.example.org"],
        ["a.example.org\nkeyUsage=critical"],
        ["-x.example.org"],
        ["a b"],
        ["x" * 300],
        ["${ENV::HOME}.example.org"],
        [f"n{number}.example.org" for number in range(101)],
    ],
)
def test_what_is_no_host_name_never_reaches_a_request(names: list[str]) -> None:
    with pytest.raises(StepError):
        checked_names(names)


def test_host_names_pass() -> None:
    names = ["a.example.org", "xn--bcher-kva.example", "landsraad", "a_b.example.org"]
    assert checked_names(names) == names


def test_without_certbot_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(StepError, match="certbot is not on this host"):
        reach(ACME)


def test_a_server_that_does_not_answer_is_told(certbot: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    certbot("exit 0")
    monkeypatch.setattr(acme_client, "_REACH_SECONDS", 1.0)
    with pytest.raises(StepError, match=r"cannot be reached.*nothing was changed"):
        reach(replace(ACME, server="https://127.0.0.1:1/dir"))
    with pytest.raises(StepError, match="it is an https address"):
        reach(replace(ACME, server="file:///etc/passwd"))
