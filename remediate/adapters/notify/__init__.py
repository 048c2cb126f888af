"""The channels. A new one is a module here with a function `channel`, its settings, and a line in `_MODULES`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping

from remediate.catalog.channels import ChannelSettings
from remediate.engine.ports import Channel, Clock

#: Kind of channel -> module with `channel(settings, clock)`; imported when a site has such a channel.
_MODULES: Mapping[str, str] = {"email": "email", "webhook": "webhook"}


def channels(settings: Mapping[str, ChannelSettings], clock: Clock) -> dict[str, Channel]:
    """Return the channels of a site by name, ready to send; no connection is made and no secret is read yet."""
    return {name: _factory(one.kind)(one, clock) for name, one in settings.items()}


def _factory(kind: str) -> Callable[[ChannelSettings, Clock], Channel]:
    module = importlib.import_module(f"{__name__}.{_MODULES[kind]}")
    factory: Callable[[ChannelSettings, Clock], Channel] = module.channel
    return factory
