"""The steps that bring a database server back: started, its connections, its limit, its application's password."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ansible.module_utils import application_account, database_sessions
from ansible.module_utils.application_account import accepting_both, accepting_only, account_of, as_before, known
from ansible.module_utils.database_facts import server_of, text_of
from ansible.module_utils.host_kinds import Rewrite
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import Step, StepError, StepNotNeededError
from ansible.module_utils.mariadb_server import MariaDB, ServerError


class OfServer(Kind):
    """A step that deals with the server."""

    def __init__(self, settings: dict[str, Any], stack: dict[str, Any]) -> None:
        self._settings = settings
        self._stack = stack

    def _server(self) -> MariaDB:
        return server_of(self._settings, self._stack)

    def _restart(self, services: list[str]) -> None:
        server = self._server()
        for service in services:
            server.stack.restart([service])
            if service == server.service:
                server.wait(self._settings["answer_wait"])


class StartServer(OfServer):
    """Starts the server, and waits until it answers."""

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Start it."""
        server = self._server()
        if server.stack.status()[server.service].running and server.answers():
            return False
        server.stack.start([server.service])
        server.wait(self._settings["answer_wait"])
        return True


class RestartService(OfServer):
    """Restarts a service of the application."""

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Restart it; one that does not run is started."""
        self._restart([step.target])
        return True


class Disconnect(OfServer):
    """Ends connections that have been idle for long: as few as will do, and none that the snapshot did not see idle."""

    def save(self, step: Step, keep: str) -> dict[str, Any]:
        """Remember which connections are idle now."""
        able = self._idle(database_sessions.look(self._server()))
        return {"idle": [[one.id, one.user, one.host] for one in able]}

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """End connections until there is room."""
        server = self._server()
        sessions = database_sessions.look(server)
        excess = database_sessions.too_many(sessions, self._settings["connections_percent"])
        if not excess:
            raise StepNotNeededError("there is room for connections again")
        able = [one for one in self._idle(sessions) if [one.id, one.user, one.host] in saved["idle"]]
        ended = [database_sessions.end(server, one) for one in able[:excess]]
        return any(ended)

    def _idle(self, sessions: database_sessions.Sessions) -> list[database_sessions.Session]:
        return database_sessions.idle(sessions, self._settings["idle_seconds"], self._settings["keep_users"])


class Configure(OfServer):
    """Gives the server's file of settings new content and has the server read it; the undo does the same backwards."""

    def __init__(self, settings: dict[str, Any], stack: dict[str, Any]) -> None:
        super().__init__(settings, stack)
        self._file = Rewrite()

    def save(self, step: Step, keep: str) -> dict[str, Any]:
        """Keep the present settings."""
        return self._file.save(step, keep)

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Write the settings and restart the server, unless it has them already."""
        changed = self._file.do(step, saved)
        server = self._server()
        if not changed and server.rows("SELECT @@max_connections") == [[str(step.data["value"])]]:
            return False
        self._restart([server.service])
        if server.rows("SELECT @@max_connections") != [[str(step.data["value"])]]:
            raise StepError(f"the server does not take max_connections from {step.target}: see its other settings")
        return True

    def obstacle(self, step: Step, saved: dict[str, Any]) -> str:
        """Return whether somebody has changed the settings since."""
        return self._file.obstacle(step, saved)

    def undo(self, step: Step, saved: dict[str, Any]) -> str:
        """Put the old settings back and restart what uses the server."""
        placed = self._file.undo(step, saved)
        self._restart([self._settings["service"], *self._settings["workers"]])
        return placed


class RotatePassword(OfServer):
    """Gives the application a new password: the server takes it beside the old one, then the application gets it."""

    def __init__(self, settings: dict[str, Any], stack: dict[str, Any]) -> None:
        super().__init__(settings, stack)
        self._file = Rewrite()

    def save(self, step: Step, keep: str) -> dict[str, Any]:
        """Keep what the server and the application know now, and make the new password."""
        account = account_of(step.target)
        password = application_account.new_password()
        content = application_account.with_password(text_of(step.target), password)
        accounts = {one.host: one.created for one in known(self._server(), account["user"])}
        made = {"user": account["user"], "password": password, "content": content, "accounts": accounts}
        return {**made, "file": self._file.save(_written(step, content), keep)}

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Let the server accept both, prove the new one, and write it into the application's settings."""
        written = _written(step, saved["content"])
        if obstacle := self._file.obstacle(written, saved["file"]):
            raise StepError(f"{step.target} is left as it is, and so is the server: {obstacle}")
        server = self._server()
        for account in known(server, saved["user"]):
            if account.host in saved["accounts"] and account.created == saved["accounts"][account.host]:
                server.rows(accepting_both(saved["user"], account, saved["password"]), secret=True)
        self._prove(server, {**account_of(step.target), "password": saved["password"]})
        return self._file.do(written, saved["file"])

    def obstacle(self, step: Step, saved: dict[str, Any]) -> str:
        """Return whether somebody has changed the settings, or the server cannot be asked."""
        if not self._server().answers():
            return "the server does not answer, so its old password cannot be put back"
        return self._file.obstacle(_written(step, saved["content"]), saved["file"])

    def undo(self, step: Step, saved: dict[str, Any]) -> str:
        """Give server and application what they had, and have the application read it where that lets it in."""
        server = self._server()
        for created in saved["accounts"].values():
            server.rows(as_before(created), secret=True)
        placed = self._file.undo(_written(step, saved["content"]), saved["file"])
        # With a password that is refused an application may not even start any more: it is left running.
        if application_account.refusal(server, account_of(step.target))[0] is False:
            self._restart([*self._settings["application"], *self._settings["workers"]])
        return placed

    def _prove(self, server: MariaDB, account: dict[str, str]) -> None:
        try:
            server.login(account)
        except ServerError as error:
            raise StepError(
                f"the new password does not let the application in (error {error.code}); its settings still have the "
                "old one"
            ) from None


class DropOldPassword(OfServer):
    """Has the server forget every other password of the application, once it is proven that the present one works."""

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Prove the present one, then drop the others."""
        server = self._server()
        account = account_of(self._settings["env_file"])
        try:
            server.login(account)
            for one in known(server, account["user"]):
                server.rows(accepting_only(account["user"], one, account["password"]), secret=True)
            server.login(account)
        except ServerError as error:
            raise StepError(f"the server refused the application's present password (error {error.code})") from None
        return True


def _written(step: Step, content: str) -> Step:
    # In place: a container that has just this file mounted sees no other one under its name.
    return replace(step, data={"content": content, "in_place": True})
