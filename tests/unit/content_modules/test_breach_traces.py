"""What belongs to a host and what does not: users, keys, schedules, processes, connections, PHP files."""

# ruff: noqa: S108 - such paths are compared with here, never written to
from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import breach_accounts, breach_web_shells
from ansible.module_utils.breach_accounts import (
    Account,
    accounts_of,
    key_of,
    unknown_keys,
    unknown_users,
    without_unknown,
)
from ansible.module_utils.breach_connections import (
    Socket,
    networks,
    networks_of,
    outbound,
    sockets_of,
    unknown_connections,
)
from ansible.module_utils.breach_processes import Process, suspicion, unexpected_processes
from ansible.module_utils.breach_scan_host import lasting
from ansible.module_utils.breach_schedules import conffiles_of, unknown_schedules
from ansible.module_utils.breach_suspect import Scan, Suspect
from ansible.module_utils.breach_web_shells import dangerous_calls, look_at_web_files

OURS = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKk5Lw4RyHWWX494IKYmEAKm7NBU2Wt8RdI6oJfACj8L"
THEIRS = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB7Wbz8fYH0qf1nLwSZ2cJ0l3m3k0rJmZk0m6vJ4s3Ez"
PLACES = ["/var/tmp", "/dev/shm"]


def test_a_user_with_a_shell_or_the_rights_of_root_is_unknown_unless_it_is_listed() -> None:
    text = "root:x:0:0:r:/root:/bin/bash\nops:x:1000:1000::/home/ops:/bin/bash\ntoor:x:0:0::/root:/bin/sh\n"
    text += "www:x:33:33::/var/www:/usr/sbin/nologin\nempty:x:1002:1002::/home/e:\nbroken line\nbad:x:no:0::/:/bin/sh\n"
    assert [one.target for one in unknown_users(accounts_of(text), ["ops"])] == ["toor", "empty"]


def test_a_hostile_user_name_is_shown_harmless() -> None:
    (found,) = unknown_users([Account("a\x1b[2Jb", 1001, "/", "/bin/sh")], [])
    assert "\x1b" not in found.target + found.evidence


@pytest.mark.parametrize(
    "line",
    [
        THEIRS,
        f"{THEIRS} somebody@home",
        f'command="echo ssh-rsa nothing",no-pty {THEIRS} x',
        f'from="10.0.0.1" {THEIRS}',
    ],
)
def test_a_key_is_known_wherever_it_stands_in_its_line(line: str) -> None:
    assert key_of(line) == key_of(THEIRS)


@pytest.mark.parametrize("line", ["", "# " + THEIRS, "ssh-ed25519", "ssh-ed25519 not*base64", "no key at all"])
def test_what_is_no_key_is_none(line: str) -> None:
    assert key_of(line) is None


def test_only_unknown_keys_go_and_everything_else_stays_as_it_is() -> None:
    known = {key for key in [key_of(OURS)] if key}
    content, gone = without_unknown(f"# ours\n{OURS} me\n\n{THEIRS} other\n", known)
    assert content == f"# ours\n{OURS} me\n\n"
    assert [key.fingerprint[:7] for key in gone] == ["SHA256:"]


def of_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, own: tuple[str, str]) -> Scan:
    (tmp_path / "ops").write_text(text)
    monkeypatch.setattr(breach_accounts, "_places", lambda: [f"{tmp_path}/%u"])
    scan = Scan()
    unknown_keys([Account("ops", 1000, "/home/ops", "/bin/sh"), Account("none", 1, "/", "")], [OURS], own, scan)
    return scan


def test_an_unknown_key_is_named_by_file_and_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = of_keys(tmp_path, monkeypatch, f"{OURS}\n{THEIRS}\n", ("ops", ""))
    (found,) = scan.suspects
    assert (found.cause, found.target) == ("unknown_key", f"{tmp_path}/ops")
    assert found.data["content"] == f"{OURS}\n"


def test_the_key_that_we_came_with_is_never_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = key_of(THEIRS)
    assert theirs
    scan = of_keys(tmp_path, monkeypatch, f"{OURS}\n{THEIRS}\n", ("ops", theirs.fingerprint))
    assert scan.suspects == []
    assert "nothing is removed there" in scan.notes[0]


def test_the_last_known_way_in_for_whoever_runs_this_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = of_keys(tmp_path, monkeypatch, f"{THEIRS}\n", ("ops", ""))
    assert scan.suspects == []
    assert "data_breach_known_keys" in scan.notes[0]


def test_a_schedule_is_known_by_its_package_as_it_was_delivered_or_by_the_inventory() -> None:
    delivered = conffiles_of(" /etc/cron.d/php 11aa\n /etc/cron.d/changed 22bb\nrubbish\n /etc/old 33 obsolete\n")
    digests = {"/etc/cron.d/php": "11aa", "/etc/cron.d/changed": "99ff", "/etc/cron.d/ours": "1", "/etc/x.timer": "2"}
    found = unknown_schedules(digests, delivered, ["/etc/cron.d/ours"])
    assert [(one.target, one.data["timer"]) for one in found] == [
        ("/etc/cron.d/changed", False),
        ("/etc/x.timer", True),
    ]
    assert "was changed since its package delivered it" in found[0].evidence


def process(pid: int = 10, program: str = "/usr/bin/sleep", **more: Any) -> Process:
    return Process(pid, pid * 100, program, **more)


REMOTES = {"7": "203.0.113.5:4444"}


@pytest.mark.parametrize(
    ("one", "target"),
    [
        (process(program="/var/tmp/x"), "/var/tmp/x"),
        (process(program="/opt/gone", is_gone=True), "/opt/gone"),
        (
            process(program="/usr/bin/python3", arguments=("python3", "-u", "/dev/shm/a.py")),
            "/usr/bin/python3 /dev/shm/a.py",
        ),
        (process(program="/usr/bin/bash", terminals={0: "7", 1: "7"}), "/usr/bin/bash obeying 203.0.113.5:4444"),
        (process(program="/usr/bin/bash", terminals={0: "7", 1: "8"}), ""),
        (process(program="/usr/bin/bash", terminals={0: "9", 1: "9"}), ""),
        (process(program="/usr/sbin/sshd", terminals={0: "7", 1: "7"}), ""),
        (process(program="/var/tmpfile/x"), ""),
        (process(program="/usr/bin/cat", arguments=("cat", "/var/tmp/x")), ""),
        (process(), ""),
    ],
)
def test_a_process_is_suspected_for_a_reason(one: Process, target: str) -> None:
    assert suspicion(one, PLACES, REMOTES)[0] == target


def test_processes_of_one_kind_are_one_target_without_their_numbers() -> None:
    several = [process(11, "/var/tmp/x"), process(12, "/var/tmp/x"), process(13, "/var/tmp/x")]
    (found,) = unexpected_processes(several, PLACES, [], {}, [12])
    assert found.target == "/var/tmp/x"
    assert found.data["processes"] == [[11, 1100], [13, 1300]]
    assert unexpected_processes(several, PLACES, ["/var/tmp/x"], {}, []) == []


def test_only_what_is_still_the_same_at_the_second_look_counts() -> None:
    def at(*numbers: int) -> list[Suspect]:
        processes = [[number, number] for number in numbers]
        return [
            Suspect("unexpected_process", "/x", "x", {"processes": processes}),
            Suspect("outbound_connection", "a", ""),
        ]

    assert lasting(at(1, 2), at(2, 3))[0].data["processes"] == [[2, 2]]
    assert [one.cause for one in lasting(at(1), at(3))] == ["outbound_connection"]
    assert lasting([], at(1)) == []


TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 100 1
   1: 0A0019AC:0016 010019AC:CB62 01 00000000:00000000 00:00000000 00000000     0        0 101 1
   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 102 1
   3: 0A0019AC:9C40 0C0019AC:2382 01 00000000:00000000 00:00000000 00000000     0        0 103 1
   4: 0100007F:9C41 0100007F:18EB 01 00000000:00000000 00:00000000 00000000     0        0 104 1
   5: zzzz:9C41 0100007F:18EB 01 00000000:00000000 00:00000000 00000000     0        0 104 1
   short line
"""


def test_only_connections_that_were_begun_here_lead_outwards() -> None:
    assert [(one.leads_to, one.inode) for one in outbound(sockets_of(TABLE))] == [("172.25.0.12:9090", "103")]


def test_an_address_of_the_new_protocol_is_read_too() -> None:
    line = "  0: B80D0120000000000000000001000000:9C40 B80D0120000000000000000002000000:01BB 01 0:0 0:0 0 0 0 7 1"
    (one,) = sockets_of("header\n" + line)
    assert one.leads_to == "[2001:db8::2]:443"
    mapped = "  0: 0000000000000000FFFF00000A0019AC:9C40 0000000000000000FFFF00000C0019AC:2382 01 0:0 0:0 0 0 0 7 1"
    assert sockets_of("header\n" + mapped)[0].leads_to == "172.25.0.12:9090"


def test_a_connection_to_nowhere_on_the_list_is_named_with_its_program() -> None:
    def to(remote: str) -> Socket:
        return Socket(ipaddress.ip_address("172.25.0.10"), 40000, ipaddress.ip_address(remote), 443, "01", remote)

    allowed = networks(["192.0.2.0/24", "2001:db8::/32"], "data_breach_egress")
    found = unknown_connections(
        map(to, ["192.0.2.9", "198.51.100.7", "2001:db8::1"]), {"198.51.100.7": "/x\n"}, allowed
    )
    assert [one.target for one in found] == ["/x\\n to 198.51.100.7:443"]


def test_what_is_no_network_names_its_input() -> None:
    with pytest.raises(ValueError, match="data_breach_egress has 'example'"):
        networks(["example"], "data_breach_egress")


def test_networks_of_bridges_come_from_the_routes() -> None:
    routes = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
    routes += "eth0 00000000 010019AC 0003 0 0 0 00000000 0 0 0\neth0 000019AC 00000000 0001 0 0 0 0000FFFF 0 0 0\n"
    routes += "br-1 000012AC 00000000 0001 0 0 0 0000FFFF 0 0 0\n"
    assert [str(one) for one in networks_of(routes, ["br-1"])] == ["172.18.0.0/16"]


@pytest.mark.parametrize(
    ("code", "calls"),
    [
        (b"<?php system($_GET['c']);", ["system"]),
        (b"<?php @EVAL (base64_decode('eA=='));", ["eval"]),
        (b"<?= `$_GET[c]` ?>", ["backticks"]),
        (b"<?php \\exec('x');", ["exec"]),
        (b"<?php $pdo->exec('x'); Foo::exec('x'); function exec($x) {}", []),
        (b"<?php /* system('x') */\n// eval('x')\n", []),
        (b"system('this is no PHP')", []),
        (b"<?php shell_executor('x'); $system('x');", []),
    ],
)
def test_calls_that_run_what_they_are_given(code: bytes, calls: list[str]) -> None:
    assert dangerous_calls(code) == calls


def web(tmp_path: Path) -> dict[str, Any]:
    for directory in ("release/public", "storage"):
        (tmp_path / directory).mkdir(parents=True)
    (tmp_path / "release/artisan").write_text("<?php system('x');")
    return {
        "known_files": [str(tmp_path / "storage/known.php")],
        "upload_dirs": [str(tmp_path / "storage")],
        "code_dirs": [str(tmp_path / "rel*")],
        "deploy_seconds": 600,
    }


def test_code_of_the_release_is_no_shell_and_code_among_uploads_is(tmp_path: Path) -> None:
    settings = web(tmp_path)
    (tmp_path / "release/public/index.php").write_text("<?php proc_open('x');")
    (tmp_path / "storage/a.PHP").write_text("<?php eval($x);")
    (tmp_path / "storage/known.php").write_text("<?php eval($x);")
    (tmp_path / "storage/view.php").write_text("<?php echo e($x);")
    (tmp_path / "storage/link.php").symlink_to(tmp_path / "storage/a.PHP")
    scan = Scan()
    look_at_web_files(settings, scan)
    assert [one.target for one in scan.suspects] == [str(tmp_path / "storage/a.PHP")]


def test_code_that_was_changed_after_its_release_was_laid_out_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = web(tmp_path)
    (tmp_path / "release/public/index.php").write_text("<?php proc_open('x');")
    monkeypatch.setattr(breach_web_shells, "_laid_out", lambda _root: 1.0)
    scan = Scan()
    look_at_web_files(settings, scan)
    assert [one.target for one in scan.suspects] == [str(tmp_path / "release/public/index.php")]
    assert "was changed after its release was laid out" in scan.suspects[0].evidence
