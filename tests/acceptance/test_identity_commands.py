"""People at the keyboard: the first token, whoami, and what is said to whom it is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from remediate.adapters.store.database import DatabaseStore
from remediate.domain.people import People, Role
from remediate.domain.run import PhaseOutcome
from remediate.domain.runbook import Phase
from remediate.domain.token import parts, secret_hash
from remediate.engine.executor_ports import PhaseResult
from remediate.interfaces.cli.main import main
from remediate.testing import EPOCH
from tests.house import PAST, TOKEN, House
from tests.identities import grant, people, person

OMAR = person("omar", Role.ADMIN, os_users=("omar",))
NADIA = person("nadia", grant(Role.OPERATOR, ("tidy-shelf",), ("web",)), Role.VIEWER, level=2)
EVERYBODY = people(OMAR, NADIA)


class Terminal:
    """Types commands on the site of a house."""

    def __init__(self, house: House, capsys: pytest.CaptureFixture[str]) -> None:
        self._site = ["--site", str(house.state)]
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Run one command; return its exit code, its output, and what it said beside it."""
        with pytest.raises(SystemExit) as end:
            main([*self._site, *arguments])
        said = self._capsys.readouterr()
        assert isinstance(end.value.code, int)
        return (end.value.code, said.out, said.err)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.delenv("REMEDIATE_TOKEN_FILE", raising=False)
    made = House(tmp_path / "state", monkeypatch)
    yield made
    made.close()


@pytest.fixture
def typed(house: House, capsys: pytest.CaptureFixture[str]) -> Terminal:
    house.inhabited_by(EVERYBODY, "omar")
    return Terminal(house, capsys)


@pytest.fixture
def keep(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str, mode: int = 0o600) -> str:
        file = tmp_path / "token"
        file.unlink(missing_ok=True)
        file.write_text(text)
        file.chmod(mode)
        return str(file)

    return write


def test_an_admin_makes_the_first_token_and_its_person_acts_by_it(
    house: House, typed: Terminal, keep: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, text, said = typed("token", "make", "nadia", "--label", "laptop", "--expires", "30d")
    token_id, secret = parts(text.rstrip("\n"))
    assert (code, text) == (0, f"rmd_{token_id}_{secret}\n")
    assert said.startswith(f"Token {token_id} of nadia, until 20")
    assert secret not in said

    house.inhabited_by(EVERYBODY, "theo")
    file = keep(text)
    by_option = typed("--token-file", file, "whoami")
    monkeypatch.setenv("REMEDIATE_TOKEN_FILE", file)
    by_environment = typed("whoami")

    assert by_option == by_environment
    assert by_option == (
        0,
        (
            "nadia (Nadia), level 2\n"
            f"Known by   token {token_id}\n"
            "Operator   runbook tidy-shelf on group web: see run, request run, account for run, carry out, roll back, "
            "cancel, resume run, pause, try channels, "
            "acknowledge incident, resolve incident, check alerts\n"
            "Viewer     every runbook on every host: see run\n"
        ),
        "",
    )


def test_whoami_tells_a_program_the_same(typed: Terminal) -> None:
    code, text, _ = typed("whoami", "--json")

    assert (code, json.loads(text)) == (
        0,
        {
            "person": "omar",
            "name": "Omar",
            "service": False,
            "channel": "os-user:omar",
            "level": 0,
            "grants": [
                {
                    "role": "admin",
                    "runbooks": [],
                    "groups": [],
                    "permissions": [
                        "pause",
                        "lift_pause",
                        "see_tokens",
                        "make_token",
                        "revoke_token",
                        "try_channels",
                        "see_notices",
                        "check_alerts",
                    ],
                }
            ],
        },
    )


def test_a_token_carries_only_the_roles_that_are_asked_for(typed: Terminal, keep: Callable[[str], str]) -> None:
    _, text, _ = typed("token", "make", "nadia", "--role", "viewer")
    code, said, _ = typed("--token-file", keep(text), "whoami")

    assert (code, said.splitlines()[2:]) == (0, ["Viewer     every runbook on every host: see run"])


def test_tokens_are_listed_and_a_revoked_one_is_refused(
    house: House, typed: Terminal, keep: Callable[[str], str]
) -> None:
    _, text, _ = typed("token", "make", "nadia", "--label", "chat bot")
    token_id = parts(text.strip())[0]
    file = keep(text)
    typed("--token-file", file, "whoami")
    before = typed("token", "list")[1]
    code, said, _ = typed("token", "revoke", token_id)
    after = typed("token", "list")[1]

    assert before.startswith(f"{token_id}  nadia            until ")
    assert "used 20" in before
    assert before.endswith("all roles  chat bot\n")
    assert (code, said.startswith(f"Token {token_id} of nadia is revoked since 20")) == (0, True)
    assert after.startswith(f"{token_id}  nadia            revoked ")
    assert typed("--token-file", file, "runs") == (
        7,
        "",
        (
            "remediate: The token is not accepted. Nothing was done.\n"
            "  next: the audit trail says why; an admin makes a new one: `remediate token make PERSON`\n"
        ),
    )
    assert [entry.action for entry in house.trail] == ["token.made", "token.revoked", "login.refused"]


def test_tokens_are_listed_for_programs_without_a_hash(typed: Terminal) -> None:
    assert typed("token", "list") == (0, "There are no tokens.\n", "")
    _, text, _ = typed("token", "make", "nadia")
    listed = typed("token", "list", "--json")[1]

    assert [entry["id"] for entry in json.loads(listed)] == [parts(text.strip())[0]]
    assert secret_hash(parts(text.strip())[1]) not in listed


@pytest.mark.parametrize("unknown", ["nothing", "bcdfghjkmn", "", "%", "\udcff", "\0"])
def test_an_unknown_token_cannot_be_revoked(typed: Terminal, unknown: str) -> None:
    assert typed("token", "revoke", unknown) == (
        2,
        "",
        f"remediate: There is no token {unknown!r}.\n  next: see `remediate token list`\n",
    )


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660])
def test_a_token_file_that_others_can_read_is_refused_with_the_exact_fix(
    house: House, typed: Terminal, keep: Callable[..., str], mode: int
) -> None:
    file = keep(TOKEN, mode)

    assert typed("--token-file", file, "runs") == (
        2,
        "",
        (
            f"remediate: The token file {file} is open to others (mode {mode:04o}). Nothing was done.\n"
            f"  next: chmod 0600 {file}; if others could read it, revoke the token and have a new one made\n"
        ),
    )
    assert house.trail == []


@pytest.mark.parametrize("named", ["", "~", "/nowhere/token"])
def test_a_token_file_that_is_named_and_not_there_is_never_overlooked(typed: Terminal, named: str) -> None:
    code, out, _ = typed("--token-file", named, "runs")

    assert (code, out) == (2, "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--expires", "400d"], "A token lives at most 366 days"),
        (["--expires", "2y"], "--expires: a duration such as 90s, 5m, 4h or 7d is wanted, not '2y'"),
        (["--label", "\x1b[2J"], "A label is at most 80 printable characters"),
        (["--role", "approver"], "nadia does not have the role approver"),
        (["--role", "root"], "Invalid value for '--role'"),
    ],
)
def test_a_token_that_makes_no_sense_is_not_made(
    house: House, typed: Terminal, options: list[str], message: str
) -> None:
    code, out, said = typed("token", "make", "nadia", *options)

    assert (code, out, message in said) == (2, "", True)
    assert house.untouched


def test_a_stranger_may_list_show_look_and_read_the_help(house: House, typed: Terminal) -> None:
    house.inhabited_by(EVERYBODY, "theo")
    house.executor.ailments = {"near": "it is off", "far": "it is off", "cellar": "it is off"}

    assert [typed(*words)[0] for words in (["list"], ["show", "disk-full"], ["--help"])] == [0, 0, 0]
    assert typed("doctor")[0] == 6


@pytest.mark.parametrize(
    "words",
    [
        ["runs"],
        ["runs", "show", PAST.id],
        ["plan", "tidy-shelf", "--limit", "near"],
        ["disk-full", "--limit", "near", "--yes"],
        ["rollback", PAST.id],
        ["whoami"],
        ["token", "list"],
        ["token", "make", "nadia"],
        ["token", "revoke", "bcdfghjkmn"],
    ],
)
def test_a_stranger_may_do_nothing_else_and_is_told_how_to_become_known(
    house: House, typed: Terminal, words: list[str]
) -> None:
    house.inhabited_by(EVERYBODY, "theo")

    assert typed(*words) == (
        7,
        "",
        (
            "remediate: It is not known who you are: the user theo of this machine is nobody in remediate.yml, and no "
            "token was given.\n"
            "  next: name a token: `--token-file FILE` or REMEDIATE_TOKEN_FILE; or have `os_users: [theo]` written to "
            "one person in remediate.yml\n"
        ),
    )
    assert house.untouched


def test_a_viewer_sees_an_interrupted_run_and_its_hosts_are_left_alone(house: House, typed: Terminal) -> None:
    with house.database() as database:
        store = DatabaseStore(database)
        store.begin_phase(PAST.id, Phase.FIX, check=False, now=EPOCH)
        store.end_phase(PAST.id, 1, PhaseResult(outcome=PhaseOutcome.CRASHED), EPOCH)
    house.inhabited_by(people(person("nadia", Role.VIEWER, os_users=("nadia",))))
    code, out, said = typed("runs", "show", PAST.id)

    assert (code, said, house.executor.requests) == (0, "", [])
    assert "INTERRUPTED" in out


def test_without_people_everything_is_as_it_was_and_nobody_approves_level_2(house: House, typed: Terminal) -> None:
    house.inhabited_by(People(), "somebody")
    code, out, _ = typed("whoami")

    assert (code, out.splitlines()[:2]) == (0, ["somebody (somebody), level 1", "Known by   os-user somebody"])
    assert "approve" not in out
    assert typed("runs")[0] == 0


def test_the_secret_of_a_token_is_nowhere_in_what_is_kept(
    house: House, typed: Terminal, keep: Callable[[str], str]
) -> None:
    _, text, _ = typed("token", "make", "nadia")
    token_id, secret = parts(text.strip())
    file = keep(text)
    typed("--token-file", file, "whoami")
    typed("--token-file", file, "token", "make", "nadia")
    typed("--token-file", file, "plan", "tidy-shelf", "--limit", "near")
    typed("--token-file", keep(f"rmd_{token_id[::-1]}_{secret}"), "whoami")
    typed("--token-file", keep(text.strip()[:-1]), "whoami")
    kept = b"".join(path.read_bytes() for path in house.state.rglob("*") if path.is_file())

    assert secret_hash(secret).encode() in kept, "what is looked through is not what is kept"
    assert secret.encode() not in kept
    assert secret[:20].encode() not in kept
    actions = [entry.action for entry in house.trail if entry.action.startswith(("token.", "access.", "login."))]
    assert actions == ["token.made", "access.refused", "login.refused", "login.refused"]
