"""Which services of the stack should run and do not."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.remediate_stack import Stack, StackError


def has_stack(stack: dict[str, Any]) -> bool:
    """Return whether the inventory says what runs on this host."""
    return bool(stack["layout"] != "none" and stack["services"])


def stack_of(stack: dict[str, Any]) -> Stack:
    """Return the stack of this host."""
    return Stack(stack["layout"], stack["services"], stack["project_dir"], stack["compose_file"], stack["units"])


def fallen(stack: dict[str, Any]) -> tuple[dict[str, str], str]:
    """Return the services that should run and do not, with their state; and a sentence when nobody can tell."""
    if not has_stack(stack):
        return {}, ""
    try:
        states = stack_of(stack).status()
    except StackError as error:
        return {}, f"whether the services run cannot be told: {error}"
    return {service: state.state for service, state in states.items() if not state.running}, ""
