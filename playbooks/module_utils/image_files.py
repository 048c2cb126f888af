"""Looks at files of an image as the engine keeps them on this disk, without making a container of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence

#: An image has some dozens of layers and a directory of code some thousands of names; more is something else.
_MOST_NAMES = 10_000
_OPAQUE = "trusted.overlay.opaque"


class ImageFiles:
    """The files of one image; `layers` are the directories it is made of, the uppermost first."""

    def __init__(self, layers: Sequence[str]) -> None:
        self._layers = list(layers)

    def find(self, path: str) -> str:
        """Return where a file or directory of the image is on this disk; nothing when it is not in the image.

        What is behind a symbolic link does not count: it would lead out of the image.
        """
        return next(self._places(path), "")

    def names(self, path: str) -> list[str]:
        """Return the names in a directory of the image."""
        seen: dict[str, bool] = {}
        for place in self._places(path):
            if os.path.isdir(place):
                for name in sorted(os.listdir(place))[:_MOST_NAMES]:
                    seen.setdefault(name, not _is_removed(os.path.join(place, name)))
        return sorted(name for name, there in seen.items() if there)

    def _places(self, path: str) -> Iterator[str]:
        """Yield every layer's part of a path, the uppermost first, down to where a layer has removed it."""
        parts = [part for part in path.split("/") if part not in {"", "."}]
        if ".." in parts:
            return
        for layer in self._layers:
            place, ends = _walk(layer, parts)
            if place:
                yield place
            if ends:
                return


def _walk(layer: str, parts: Sequence[str]) -> tuple[str, bool]:
    """Return the place of a path in one layer, and whether layers below it count no more."""
    place, ends = layer, False
    for part in parts:
        place = os.path.join(place, part)
        try:
            status = os.lstat(place)
        except (FileNotFoundError, NotADirectoryError):
            return "", ends
        if stat.S_ISLNK(status.st_mode) or stat.S_ISCHR(status.st_mode):
            return "", True
        ends = ends or not stat.S_ISDIR(status.st_mode) or _is_opaque(place)
    return place, ends


def _is_removed(path: str) -> bool:
    return stat.S_ISCHR(os.lstat(path).st_mode)


def _is_opaque(path: str) -> bool:
    try:
        return os.getxattr(path, _OPAQUE, follow_symlinks=False) == b"y"
    except OSError:
        return False
