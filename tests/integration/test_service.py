"""The service as a process: hand-over, order, and what holds when it is stopped, killed, or not alone."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from remediate.adapters.store.approvals import DatabaseApprovals
from remediate.adapters.store.database import DatabaseStore
from remediate.catalog.database import DatabaseSettings
from remediate.domain.approval import ApprovalRequest
from remediate.domain.escalation import following
from remediate.domain.run import RunStatus
from tests.integration.local import eventually
from tests.service import Served
from tests.service import served as serving

POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)


@pytest.fixture(params=["sqlite", POSTGRES])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    """A site, on either database."""
    settings: DatabaseSettings | None = None
    if request.param == "postgres":
        settings = request.getfixturevalue("postgres")
    with serving(tmp_path / "site", settings) as site:
        yield site


def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    assert eventually(holds, seconds)


def set_up(served: Served, **settings: str) -> None:
    """Say what the hosts do: `cause`, and how long their `fix takes`."""
    for name, value in settings.items():
        (served.directory / name.replace("_", " ")).write_text(value)


def tidy(served: Served, host: str = "near-1") -> subprocess.CompletedProcess[str]:
    return served.command("tidy-shelf", "--limit", host, "--no-wait")


def fixing(served: Served, host: str) -> Callable[[], bool]:
    return lambda: any(line.startswith("fix ") and line.endswith(f" {host}") for line in served.walked())


def run_id(done: subprocess.CompletedProcess[str]) -> str:
    found = re.search(r"\d{8}-\d{6}-\w{4}", done.stdout)
    assert found, done
    return found[0]


def doers(served: Served) -> set[int]:
    """The processes that did phases."""
    return {int(line.split()[1]) for line in (served.directory / "walked").read_text().splitlines()}


def overlaps(served: Served) -> list[str]:
    """Hosts on which something was begun before the last thing had ended, by a process that was not killed."""
    busy: dict[str, str] = {}
    found = []
    for line in (served.directory / "walked").read_text().splitlines():
        _, process, what, _, _, hosts = line.split()
        for host in hosts.split(","):
            if what == "begin" and busy.get(host) == process:
                found.append(line)
            busy[host] = process if what == "begin" else ""
    return found


def test_a_command_hands_its_run_over_and_shows_it_from_the_record(served: Served) -> None:
    service = served.serve()
    done = tidy(served)

    assert (done.returncode, done.stderr) == (0, "")
    assert doers(served) == {service.pid}
    assert "snapshot             ok" in done.stdout
    assert "CURED  cured: near-1" in done.stdout
    assert "Approval   level 0" in done.stdout
    told = [
        "requested",
        "diagnosing",
        "diagnose  ",
        "planned",
        "snapshotting",
        "snapshot  ",
        "fixing",
        "verify  ",
        "CURED",
    ]
    assert [done.stdout.index(word) for word in told] == sorted(done.stdout.index(word) for word in told)
    assert served.left_over() == []


def test_a_run_that_needs_approval_ends_the_command_with_3_and_the_service_carries_it_out_when_it_is_given(
    served: Served,
) -> None:
    set_up(served, cause="archive")
    service = served.serve()
    asked = tidy(served)
    given = served.command("approve", run_id(asked), "--reason", "go", by="lena")
    until(lambda: list(served.runs().values()) == [RunStatus.SUCCEEDED])

    assert (asked.returncode, given.returncode) == (3, 0), (asked, given)
    assert doers(served) == {service.pid}


def test_a_command_that_waits_for_people_sees_its_run_to_the_end(served: Served) -> None:
    set_up(served, cause="archive")
    served.serve()
    waits = served.begin("tidy-shelf", "--limit", "near-1", "--wait")
    until(lambda: list(served.runs().values()) == [RunStatus.WAITING_APPROVAL])
    (asked,) = served.runs()
    served.command("approve", asked, "--reason", "go", by="lena")
    out, err = waits.communicate(timeout=30)

    assert (waits.returncode, err) == (0, "")
    assert "CURED" in out


def test_sigterm_stops_a_service_in_order(served: Served) -> None:
    set_up(served, fix_takes="60")
    service = served.serve()
    follows = served.begin("tidy-shelf", "--limit", "near-1")
    until(fixing(served, "near-1"))
    service.send_signal(signal.SIGTERM)
    out, err = service.communicate(timeout=30)
    said, _ = follows.communicate(timeout=30)

    assert (service.returncode, err) == (0, "")
    assert out.endswith("Stopped.\n")
    assert list(served.runs().values()) == [RunStatus.CANCELED]
    assert follows.returncode == 5
    assert "STOPPED" in said
    assert served.left_over() == []


def test_a_killed_service_leaves_an_interrupted_run_that_the_next_one_goes_on_with(served: Served) -> None:
    set_up(served, fix_takes="60")
    service = served.serve()
    follows = served.begin("tidy-shelf", "--limit", "near-1")
    until(fixing(served, "near-1"))
    service.kill()
    set_up(served, fix_takes="0")
    served.serve()
    out, _ = follows.communicate(timeout=60)
    (first, again) = served.runs()

    assert again == f"{first}-2"
    assert list(served.runs().values()) == [RunStatus.INTERRUPTED, RunStatus.SUCCEEDED]
    assert follows.returncode == 0, out
    assert "CURED" in out
    until(lambda: served.left_over() == [])
    assert overlaps(served) == []


def test_another_process_stops_a_run_of_the_service_within_a_second(served: Served) -> None:
    set_up(served, fix_takes="60")
    served.serve()
    served.begin("tidy-shelf", "--limit", "near-1")
    until(fixing(served, "near-1"))
    (run,) = served.runs()
    with served.record() as database:
        DatabaseStore(database).ask_to_stop(run, "nadia")
        asked_at = time.monotonic()
        until(lambda: DatabaseStore(database).run(run).status is RunStatus.CANCELED)
        took = time.monotonic() - asked_at

    assert took < 1


def test_a_run_whose_host_is_busy_waits_for_its_turn_and_the_oldest_goes_first(served: Served) -> None:
    set_up(served, fix_takes="1")
    served.serve()
    runs: list[subprocess.Popen[str]] = []
    for _ in range(3):
        follows = served.begin("tidy-shelf", "--limit", "near-1")
        until(lambda: len(served.runs()) == len(runs) + 1)
        runs.append(follows)
    codes = [follows.wait(60) for follows in runs]
    walked = [line.split()[1] for line in served.walked() if line.startswith("fix ")]

    assert codes == [0, 0, 0]
    assert walked == list(served.runs())
    assert overlaps(served) == []


def test_a_run_that_waits_for_its_turn_can_be_canceled(served: Served) -> None:
    set_up(served, fix_takes="60")
    served.serve()
    served.begin("tidy-shelf", "--limit", "near-1")
    until(fixing(served, "near-1"))
    follows = served.begin("tidy-shelf", "--limit", "near-1")
    until(lambda: len(served.runs()) == 2)
    canceled = served.command("cancel", list(served.runs())[1])
    follows.communicate(timeout=30)

    assert canceled.returncode in {0, 5}, canceled
    assert list(served.runs().values())[1] is RunStatus.CANCELED
    assert follows.returncode == 5


def test_a_deadline_is_kept_to_within_two_seconds_although_the_service_was_killed_during_the_wait(
    served: Served,
) -> None:
    set_up(served, cause="archive")
    service = served.serve()
    run = run_id(tidy(served))
    due = climbs_at(served, run, timedelta(seconds=6))
    service.kill()
    served.serve()
    with served.record() as database:
        until(lambda: request_of(DatabaseApprovals(database), run).asked_level == 3, 20)
        climbed = request_of(DatabaseApprovals(database), run).asked_at

    assert timedelta(0) <= climbed - due < timedelta(seconds=2)


def climbs_at(served: Served, run: str, patience: timedelta) -> datetime:
    """Have level 2 answer within that time from now, and return when it has to."""
    with served.record() as database:
        approvals = DatabaseApprovals(database)
        request = request_of(approvals, run)
        first, _, third, last = request.climbs_after
        short = (first, first + int(patience.total_seconds()), third, last)
        now = datetime.now(UTC)
        changed = request.model_copy(update={"climbs_after": short, "asked_at": now, "reminded_at": now})
        changed = changed.model_copy(update={"next_at": following(changed)})
        return approvals.change(changed, why="a short ladder", at=now).next_at


def request_of(approvals: DatabaseApprovals, run: str) -> ApprovalRequest:
    request = approvals.request(run)
    assert request is not None
    return request


def test_a_command_whose_service_dies_and_does_not_come_back_says_so_and_ends(served: Served) -> None:
    set_up(served, fix_takes="60")
    service = served.serve()
    follows = served.begin("tidy-shelf", "--limit", "near-1")
    until(fixing(served, "near-1"))
    service.kill()
    out, _ = follows.communicate(timeout=40)

    assert follows.returncode == 5
    assert "INTERRUPTED  the process that carried it out is gone; it was fixing" in out


def test_a_command_that_waits_while_no_service_comes_back_is_told_what_to_type(served: Served) -> None:
    set_up(served, cause="archive")
    service = served.serve()
    waits = served.begin("tidy-shelf", "--limit", "near-1", "--wait")
    until(lambda: list(served.runs().values()) == [RunStatus.WAITING_APPROVAL])
    service.kill()
    _, err = waits.communicate(timeout=40)
    (run,) = served.runs()

    assert waits.returncode == 10
    assert f"The service that carries run {run} is gone; the run is waiting_approval." in err
    assert f"remediate resume {run}" in err


def test_a_second_service_on_a_file_is_refused_and_the_first_is_undisturbed(tmp_path: Path) -> None:
    with serving(tmp_path / "site") as served:
        first = served.serve()
        second = served.command("serve")
        done = tidy(served)

        assert second.returncode == 7
        assert "A service of this site runs already; nothing was started here." in second.stderr
        assert done.returncode == 0
        assert doers(served) == {first.pid}


@pytest.mark.postgres
def test_another_service_takes_over_from_one_that_died_within_a_few_seconds(
    tmp_path: Path, postgres: DatabaseSettings
) -> None:
    with serving(tmp_path / "site", postgres) as served:
        set_up(served, fix_takes="60")
        services = {service.pid: service for service in (served.serve(), served.serve())}
        first = served.begin("tidy-shelf", "--limit", "near-1")
        until(fixing(served, "near-1"))
        second = served.begin("tidy-shelf", "--limit", "near-1")
        until(lambda: len(served.runs()) == 2)
        (doer,) = doers(served)
        set_up(served, fix_takes="0")
        services[doer].kill()
        died = time.time()
        said = [follows.communicate(timeout=60)[0] for follows in (first, second)]
        codes = [first.returncode, second.returncode]
        (asked, *_) = served.runs()
        began = [line.split() for line in (served.directory / "walked").read_text().splitlines() if " begin " in line]
        later = {run: float(at) - died for at, process, *_, run, _ in reversed(began) if int(process) != doer}

        assert codes == [0, 0], said
        assert later[f"{asked}-2"] < 6
        assert overlaps(served) == []
        until(lambda: served.left_over() == [])


@pytest.mark.postgres
def test_a_service_whose_line_to_the_server_is_cut_stops_what_it_does_and_ends(
    tmp_path: Path, postgres: DatabaseSettings
) -> None:
    with serving(tmp_path / "site", postgres) as served:
        set_up(served, fix_takes="60")
        service = served.serve()
        served.begin("tidy-shelf", "--limit", "near-1")
        until(fixing(served, "near-1"))
        with served.record() as database, database.apart() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE starts_with(application_name, 'remediate run ') AND datname = current_database()"
            )
        _, err = service.communicate(timeout=40)

        assert service.returncode == 2
        assert "it stopped what it did" in err
        assert any(line.startswith("fix ") for line in served.walked("end"))
