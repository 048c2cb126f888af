"""Bad input of every kind: a clear message, the designed exit code, and nothing executed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import remediate
from remediate.errors import InvalidParameter, UnknownHost, UnknownRun
from tests.integration.local import SITE, LocalSite

HEAVY = {"pydantic", "sqlalchemy", "alembic", "structlog", "rich", "yaml", "ansible", "ansible_runner"}


def refused(site: LocalSite, *arguments: str) -> list[int | str]:
    """Run a command that must be refused; return its exit code and the lines that it said."""
    done = site.command(*arguments)
    assert not site.executed, "something was executed"
    assert site.file.exists()
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return [done.returncode, *done.stderr.splitlines()]


@pytest.fixture
def copied(local: LocalSite, tmp_path: Path) -> LocalSite:
    """The site as a copy, to be broken."""
    local.path = tmp_path / "site"
    shutil.copytree(SITE, local.path)
    return local


def test_an_unknown_runbook_is_answered_with_the_nearest_one(local: LocalSite) -> None:
    assert refused(local, "stray-flie", "--limit", "near") == [
        2,
        "remediate: There is no runbook or command 'stray-flie'.",
        "  next: did you mean `remediate stray-file`? see `remediate list` and `remediate --help`",
    ]
    assert refused(local, "plan", "stray-flie") == [
        2,
        "remediate: There is no runbook 'stray-flie'.",
        "  next: did you mean stray-file? see `remediate list`",
    ]


def test_every_wrong_parameter_is_told_at_once(local: LocalSite) -> None:
    wrong = ["--seconds", "long", "--survives", "perhaps", "--set", "colour=red", "--set", "path=here"]

    assert refused(local, "stray-file", "--limit", "near", *wrong) == [
        2,
        "remediate: stray-file cannot be run like this:",
        "  seconds: a whole number is wanted, not 'long'",
        "  survives: true or false is wanted, not 'perhaps'",
        "  colour: this runbook has no such parameter; it knows path, seconds, survives, text",
        "  path: an absolute path without '..' is wanted, not 'here'",
        "  next: see `remediate show stray-file`",
    ]


def test_an_assignment_without_a_value_is_refused(local: LocalSite) -> None:
    assert refused(local, "stray-file", "--set", "path") == [2, "remediate: --set wants NAME=VALUE, not 'path'."]


def test_a_template_as_a_value_is_refused_and_never_evaluated(local: LocalSite) -> None:
    owned = local.directory / "owned"
    code, *said = refused(
        local, "stray-file", "--limit", "near", "--text", f"{{{{ lookup('pipe', 'touch {owned}') }}}}"
    )

    assert (code, said[1], owned.exists()) == (2, "  text: template markers are not accepted", False)


def test_names_that_ansible_reads_and_hosts_that_are_patterns_never_pass(
    local: LocalSite, opened: remediate.Site
) -> None:
    for name in ("ansible_connection", "ansible_python_interpreter", "__ansible_vault", "stray_file_run_id"):
        with pytest.raises(InvalidParameter, match=f"{name}: this runbook has no such parameter"):
            opened.plan("stray-file", hosts=["near"], parameters={name: "x"})
    for host in (
        "all",
        "ne*",
        "!near",
        "~.*",
        "@/etc/passwd",
        "near:far",
        "near,far",
        "stray_file_targets",
        "localhost",
        "",
    ):
        with pytest.raises(UnknownHost):
            opened.plan("stray-file", hosts=["near", host], parameters={"path": str(local.file)})

    assert opened.runs() == ()
    assert not local.executed


def test_an_unknown_host_is_answered_with_the_nearest_one_and_those_there_are(local: LocalSite) -> None:
    assert refused(local, "stray-file", "--limit", "naer", "--limit", "f*", "--path", str(local.file)) == [
        2,
        "remediate: Nothing was run:",
        "  'naer' is not a host of the inventory (did you mean 'near'?)",
        "  'f*' is a pattern, or no plain host name; hosts are named one by one",
        "  next: hosts of the inventory: far, near",
    ]


def test_a_broken_card_is_told_with_every_line_and_the_other_commands_go_on(copied: LocalSite) -> None:
    card = copied.path / "playbooks/roles/stray_file/meta/runbook.yml"
    broken = card.read_text().replace("SEV4", "SEV0").replace("approval: 0", "approval: 9").replace("rto: 5m", "rto: 5")
    card.write_text(broken)

    assert refused(copied, "stray-file", "--limit", "near", "--path", str(copied.file)) == [
        2,
        "remediate: The runbook stray-file cannot be used:",
        f"  {card}:3: severity: input should be 'SEV1', 'SEV2', 'SEV3' or 'SEV4'",
        f"  {card}:4: rto: a duration such as 90s, 5m, 4h or 7d is wanted, not 5",
        f"  {card}:8: causes.stray.approval: input should be less than or equal to 4",
        "  next: correct the lines named above and repeat",
    ]
    assert copied.command("--help").returncode == copied.command("runs").returncode == 0


@pytest.mark.parametrize("content", ["all: [", "all:\n  hosts: [near, far]\n", "not an inventory"])
def test_a_broken_inventory_is_refused_with_what_ansible_says(copied: LocalSite, content: str) -> None:
    (copied.path / "inventory/hosts.yml").write_text(content)
    code, *said = refused(copied, "stray-file", "--limit", "near", "--path", str(copied.file))

    assert code == 2
    assert str(said[0]).startswith(f"remediate: The inventory {copied.path}/inventory cannot be used: ")
    assert "hosts.yml" in str(said)
    assert said[-1] == f"  next: ansible-inventory -i {copied.path}/inventory --list shows the same"


def test_a_missing_inventory_is_refused_with_what_to_do(copied: LocalSite) -> None:
    shutil.rmtree(copied.path / "inventory")

    assert refused(copied, "stray-file", "--limit", "near", "--path", str(copied.file)) == [
        2,
        f"remediate: The inventory {copied.path}/inventory does not exist.",
        "  next: make one with `remediate init`, or correct `inventory:` in remediate.yml",
    ]


def test_a_state_directory_that_cannot_be_used_is_refused_before_anything_else(local: LocalSite) -> None:
    local.state = Path("/proc/remediate")
    code, *said = refused(local, "stray-file", "--limit", "near", "--path", str(local.file))

    assert code == 2
    assert str(said[0]).startswith("remediate: The state directory /proc/remediate cannot be used: ")
    assert str(said[0]).endswith("Nothing was run.")


def test_a_directory_that_is_no_site_is_refused(local: LocalSite) -> None:
    assert refused(local, "--site", str(local.directory), "runs") == [
        2,
        f"remediate: There is no remediate.yml in this directory, above it, or in {local.directory}.",
        "  next: make one with `remediate init`, or name its directory with --site",
    ]


def test_an_unknown_run_is_refused(local: LocalSite, opened: remediate.Site) -> None:
    for typed in ("nothing", "", "%"):
        with pytest.raises(UnknownRun, match="There is no run"):
            opened.rollback(typed)
    assert refused(local, "rollback", "20260105") == [
        2,
        "remediate: There is no run '20260105'.",
        "  next: see `remediate runs`",
    ]


def test_an_unknown_option_is_refused(local: LocalSite) -> None:
    code, *said = refused(local, "stray-file", "--lmit", "near")

    assert (code, "No such option" in str(said), "--limit" in str(said)) == (2, True, True)


def test_init_writes_a_site_that_works_and_overwrites_nothing(local: LocalSite) -> None:
    target = local.directory / "mysite"
    made = local.command("init", str(target))
    again = local.command("init", str(target))
    listed = local.command("--site", str(target), "list")

    assert (made.returncode, again.returncode, listed.returncode) == (0, 2, 0)
    assert "exists already; nothing was written" in again.stderr
    assert (target / "remediate.yml").exists()


def test_help_is_quick_because_it_loads_nothing_heavy(local: LocalSite) -> None:
    code = f"""
import sys
from remediate.interfaces.cli.main import main
try:
    main(["--help"])
except SystemExit as end:
    heavy = sorted({HEAVY!r} & {{name.partition(".")[0] for name in sys.modules}})
    print(end.code, heavy)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=local.environment, capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "0 []"
    assert "stray-file" in done.stdout
