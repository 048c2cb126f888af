"""Credentials: the new one is proven before the old one goes, whatever fails in between."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import credentials, environment_file
from ansible.module_utils.breach_accounts import key_of
from ansible.module_utils.credentials import ApplicationKey, DatabasePassword, NewKeys, RedisPassword
from ansible.module_utils.environment_file import replaced, settings_of
from ansible.module_utils.host_step import Step, StepError

STEP = Step("exposed_credentials", "replace database", "DB_PASSWORD")
ENV = "APP_KEY=base64:old\nDB_USERNAME=chom\nDB_PASSWORD=oldsecret\nDB_HOST=mysql\nDB_DATABASE=chom\n"


class FakeStack:
    """A database that knows which passwords it accepts, and remembers every command line."""

    def __init__(self) -> None:
        self.accepts = {"oldsecret"}
        self.lines: list[str] = []
        self.statements: list[str] = []
        #: What the database does not do although it says so.
        self.deaf_to_new = False

    def exec(self, _service: str, argv: list[str], *_rest: Any, given: str = "", **_more: Any) -> tuple[int, str, str]:
        self.lines.append(" ".join(argv))
        if argv[0] == "php":
            return (0 if json.loads(given)["password"] in self.accepts else 3), "", ""
        self.statements.append(given)
        if "SELECT" in given:
            return 0, "%\tmysql_native_password\t*AB12\n", ""
        found = re.search(r"PASSWORD\('(\w+)'", given)
        new = found.group(1) if found else ""
        old = {"oldsecret"} if "*AB12" in given else set()
        self.accepts = old | ({new} if new and not self.deaf_to_new else set())
        return 0, "", ""


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> FakeStack:
    stack = FakeStack()
    monkeypatch.setattr(credentials, "stack_of", lambda _given: stack)
    return stack


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "env").write_text(ENV)
    (tmp_path / "env").chmod(0o640)
    return {"env_file": str(tmp_path / "env"), "app_service": "queue", "database_service": "mysql"}


def test_a_new_password_is_in_force_and_the_old_one_refused(
    stack: FakeStack, settings: dict[str, Any], tmp_path: Path
) -> None:
    kind = DatabasePassword({}, settings)
    saved = kind.save(STEP, str(tmp_path / "keep"))
    inode = Path(settings["env_file"]).stat().st_ino
    assert stack.accepts == {"oldsecret"}
    assert kind.do(STEP, saved)
    new = settings_of(Path(settings["env_file"]).read_text())["DB_PASSWORD"]
    assert stack.accepts == {new}
    assert not kind.do(STEP, saved)
    assert Path(settings["env_file"]).stat().st_ino == inode
    assert Path(settings["env_file"]).stat().st_mode & 0o777 == 0o640
    assert Path(saved["kept"]).stat().st_mode & 0o777 == 0o600


def test_no_secret_is_on_a_command_line_or_in_what_is_reported(
    stack: FakeStack, settings: dict[str, Any], tmp_path: Path
) -> None:
    kind = DatabasePassword({}, settings)
    saved = kind.save(STEP, str(tmp_path / "keep"))
    kind.do(STEP, saved)
    secrets = {"oldsecret", credentials.loaded(saved)["new"], "AB12"}
    assert not [line for line in [*stack.lines, json.dumps(saved)] if any(secret in line for secret in secrets)]


def test_where_the_new_password_is_not_accepted_the_old_one_stays(
    stack: FakeStack, settings: dict[str, Any], tmp_path: Path
) -> None:
    stack.deaf_to_new = True
    kind = DatabasePassword({}, settings)
    saved = kind.save(STEP, str(tmp_path / "keep"))
    with pytest.raises(StepError, match="the old one is in force as before"):
        kind.do(STEP, saved)
    assert "oldsecret" in stack.accepts
    assert Path(settings["env_file"]).read_text() == ENV


@pytest.mark.parametrize("killed_after", [1, 2, 3, 4, 5])
def test_killed_at_any_moment_somebody_can_log_in_and_the_same_run_goes_on(
    stack: FakeStack, settings: dict[str, Any], tmp_path: Path, killed_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    kind = DatabasePassword({}, settings)
    saved = kind.save(STEP, str(tmp_path / "keep"))
    ask, asked = stack.exec, []

    def dies(*arguments: Any, **more: Any) -> tuple[int, str, str]:
        asked.append(1)
        if len(asked) == killed_after:
            raise Killed
        return ask(*arguments, **more)

    monkeypatch.setattr(stack, "exec", dies)
    with pytest.raises(Killed):
        kind.do(STEP, saved)
    assert settings_of(Path(settings["env_file"]).read_text())["DB_PASSWORD"] in stack.accepts
    monkeypatch.setattr(stack, "exec", ask)
    kind.do(STEP, saved)
    assert stack.accepts == {credentials.loaded(saved)["new"]}


def test_a_user_that_is_no_plain_name_is_not_put_into_a_statement(stack: FakeStack, settings: dict[str, Any]) -> None:
    Path(settings["env_file"]).write_text(ENV.replace("=chom\n", "=x';DROP\n", 1))
    with pytest.raises(StepError, match="no name that can be dealt with"):
        DatabasePassword({}, settings).save(STEP, str(Path(settings["env_file"]).parent / "keep"))
    assert stack.statements == []


def test_the_application_gets_a_new_key_once(settings: dict[str, Any], tmp_path: Path) -> None:
    kind = ApplicationKey({}, settings)
    saved = kind.save(STEP, str(tmp_path / "keep"))
    assert kind.do(STEP, saved)
    assert not kind.do(STEP, saved)
    key = settings_of(Path(settings["env_file"]).read_text())["APP_KEY"]
    assert key.startswith("base64:")
    assert key != "base64:old"
    kind.undo(STEP, saved)
    assert settings_of(Path(settings["env_file"]).read_text())["APP_KEY"] == key


class FakeRedis:
    """A Redis that knows which passwords it accepts, and whether it can write settings down."""

    def __init__(self) -> None:
        self.accepts = {"oldsecret"}
        self.lines: list[str] = []
        self.writes = True

    def exec(self, _service: str, argv: list[str], *, given: str = "") -> tuple[int, str, str]:
        self.lines.append(" ".join(argv))
        if argv[0] == "php":
            return (0 if json.loads(given)["password"] in self.accepts else 3), "", ""
        return 0, "\n".join(map(self.answer, given.splitlines())) + "\n", ""

    def answer(self, line: str) -> str:
        words = line.split()
        if words[0] == "AUTH":
            return "OK" if words[2] in self.accepts else "WRONGPASS"
        if words[:2] == ["ACL", "SETUSER"]:
            self.accepts = self.accepts | {words[3][1:]} if words[3][0] == ">" else self.accepts - {words[3][1:]}
        elif words[:2] == ["CONFIG", "SET"]:
            self.accepts = {words[3]}
        elif not self.writes or words == ["ACL", "SAVE"]:
            return "ERR there is no file"
        return "OK"


@pytest.mark.parametrize("writes", [True, False])
def test_redis_gets_a_new_password_only_if_it_can_write_it_down(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: bool
) -> None:
    redis = FakeRedis()
    redis.writes = writes
    monkeypatch.setattr(credentials, "stack_of", lambda _given: redis)
    env = Path(settings["env_file"])
    env.write_text("REDIS_PASSWORD=oldsecret\n")
    kind = RedisPassword({}, {**settings, "redis_service": "redis"})
    saved = kind.save(STEP, str(tmp_path / "keep"))
    if writes:
        assert kind.do(STEP, saved)
        assert not kind.do(STEP, saved)
        assert redis.accepts == {credentials.loaded(saved)["new"]} == {settings_of(env.read_text())["REDIS_PASSWORD"]}
    else:
        with pytest.raises(StepError, match="the old one is in force as before"):
            kind.do(STEP, saved)
        assert redis.accepts == {"oldsecret"}
        assert env.read_text() == "REDIS_PASSWORD=oldsecret\n"
    assert not [line for line in redis.lines if "oldsecret" in line or credentials.loaded(saved)["new"] in line]


def test_an_environment_file_keeps_everything_else() -> None:
    text = "# DB_PASSWORD=not this\nexport DB_PASSWORD = 'a b'\nX=1 # why\n\nDB_PASSWORD=last"
    assert settings_of(text) == {"DB_PASSWORD": "last", "X": "1"}
    assert replaced(text, {"DB_PASSWORD": "n"}) == (
        "# DB_PASSWORD=not this\nexport DB_PASSWORD = n\nX=1 # why\n\nDB_PASSWORD=n"
    )


@pytest.mark.parametrize("value", ["a b", "x$y", "a\nb", "'"])
def test_a_value_that_a_reader_could_take_for_more_is_refused(value: str) -> None:
    with pytest.raises(StepError, match="without quotes"):
        replaced("A=1\n", {"A": value})


def test_a_shorter_file_leaves_nothing_of_the_longer_one(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("A=12345\n")
    environment_file.write(str(tmp_path / "env"), "A=1\n")
    assert (tmp_path / "env").read_text() == "A=1\n"


OLD = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKk5Lw4RyHWWX494IKYmEAKm7NBU2Wt8RdI6oJfACj8L"
NEW = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB7Wbz8fYH0qf1nLwSZ2cJ0l3m3k0rJmZk0m6vJ4s3Ez"


def test_old_ssh_keys_go_only_when_a_new_one_is_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ops").write_text(OLD + "\n")
    step = Step("exposed_credentials", "replace ssh", str(tmp_path / "ops"), data={"keys": [NEW]})
    monkeypatch.setattr(credentials, "own_fingerprint", lambda _own: getattr(key_of(OLD), "fingerprint", ""))
    assert NewKeys().do(step, {})
    assert (tmp_path / "ops").read_text() == f"{OLD}\n{NEW}\n"
    assert not NewKeys().do(step, {})
    monkeypatch.setattr(credentials, "own_fingerprint", lambda _own: getattr(key_of(NEW), "fingerprint", ""))
    assert NewKeys().do(step, {})
    assert (tmp_path / "ops").read_text() == f"{NEW}\n"
    assert not NewKeys().do(step, {})
