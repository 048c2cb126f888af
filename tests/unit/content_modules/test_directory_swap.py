"""The room of a swap is open to the server as far as it must be, and no further."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from ansible.module_utils import directory_swap
from ansible.module_utils.directory_swap import Swap


@pytest.mark.parametrize(("is_mount", "mode"), [(True, 0o755), (False, 0o711)])
def test_a_full_copy_can_list_the_room_where_that_lies_within_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_mount: bool, mode: int
) -> None:
    monkeypatch.setattr(directory_swap.os.path, "ismount", lambda _: is_mount)
    place = tmp_path / "data"
    place.mkdir()
    swap = Swap(str(place), "token")
    swap.prepare()

    assert Path(swap.room).parent == (place if is_mount else tmp_path)
    assert stat.S_IMODE(Path(swap.room).stat().st_mode) == mode
