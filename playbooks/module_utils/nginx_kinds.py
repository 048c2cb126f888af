"""Puts a block of directives into the configuration of nginx, has it read, and takes it out again."""

from __future__ import annotations

import os
from typing import Any

from ansible.module_utils.fallen_services import stack_of
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import Step, StepError
from ansible.module_utils.nginx_block import PlaceError, held, put, take
from ansible.module_utils.safe_files import Directory, split
from ansible.module_utils.stack_program import StackError

SERVICE = "nginx"
_MOST_BYTES = 1 << 20


class Configure(Kind):
    """Gives the file that the step names the block `data["block"]` with `data["body"]`.

    The file is written in place: a container that has just this file mounted goes on seeing the old one else.
    Everything in it but the block stays as it is, so that several blocks can come and go one by one.
    """

    def __init__(self, stack: dict[str, Any]) -> None:
        self._stack = stack

    def save(self, step: Step, keep: str) -> dict[str, Any]:
        """Remember the block that is there, if any."""
        return {"was": held(read_configuration(step.target), step.data["block"])}

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Put the block in, have it tested, and have it read; a configuration that is refused is put back."""
        name, body = step.data["block"], step.data["body"]
        before = read_configuration(step.target)
        if held(before, name) not in {saved["was"], body}:
            raise StepError(f"{step.target} was changed by somebody else meanwhile and is left as it is: start again")
        self._change(step.target, before, _put(step.target, before, name, body))
        return True

    def obstacle(self, step: Step, saved: dict[str, Any]) -> str:
        """Return whether somebody has changed the block since."""
        now = held(read_configuration(step.target), step.data["block"])
        if now in {saved["was"], step.data["body"], ""}:
            return ""
        return "its block was changed after the fix, and taking it out would lose that"

    def undo(self, step: Step, saved: dict[str, Any]) -> str:
        """Put the old block back, or take ours out."""
        name, before = step.data["block"], read_configuration(step.target)
        after = _put(step.target, before, name, saved["was"]) if saved["was"] else take(before, name)
        self._change(step.target, before, after)
        return step.target

    def _change(self, path: str, before: str, after: str) -> None:
        write_configuration(path, after)
        stack = stack_of(self._stack)
        code, output, errors = stack.exec(SERVICE, ["nginx", "-t"])
        if code != 0:
            write_configuration(path, before)
            said = (errors.strip() or output.strip() or "it printed nothing").splitlines()
            why = next((line for line in said if "[emerg]" in line), said[-1])
            raise StepError(f"nginx refuses the new configuration, so {path} is as before: {why[:300]}")
        try:
            stack.reload([SERVICE])
        except StackError as error:
            raise StepError(f"{path} is written, but {error}; call the same phase again") from error


def _put(path: str, content: str, name: str, body: str) -> str:
    try:
        return put(content, name, body)
    except PlaceError as error:
        raise StepError(f"{path} {error}; nothing was changed") from error


def read_configuration(path: str) -> str:
    """Return a configuration, or nothing where there is none; never through a symbolic link."""
    parent, name = split(path)
    try:
        with Directory(parent) as directory:
            descriptor = directory.open(name)
    except FileNotFoundError:
        if not os.path.isdir(parent):
            raise StepError(
                f"{parent} is not there: correct the path of nginx's configuration in the inventory"
            ) from None
        return ""
    except OSError as error:
        raise StepError(f"{path} cannot be read ({error.strerror}): write the real path into the inventory") from error
    with os.fdopen(descriptor, encoding="utf-8", errors="surrogateescape") as source:
        content = source.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise StepError(f"{path} is larger than a configuration can be; it is left as it is")
    return content


def write_configuration(path: str, content: str) -> None:
    """Write a configuration in place; one that would be empty is removed."""
    parent, name = split(path)
    with Directory(parent) as directory:
        if not content:
            if directory.exists(name):
                directory.unlink(name)
            directory.sync()
            return
        descriptor = directory.open(name, os.O_WRONLY | os.O_CREAT, 0o644)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as target:
            target.truncate(0)
            target.write(content)
            target.flush()
            os.fsync(target.fileno())
        directory.sync()
