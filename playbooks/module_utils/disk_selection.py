"""Which candidates a fix takes: a pure decision, without a look at any disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ansible.module_utils.disk_candidate import Candidate


@dataclass(frozen=True)
class Need:
    """What one file system lacks, and what counts as much there."""

    device: int
    bytes: int
    inodes: int
    material_bytes: int
    material_inodes: int

    @property
    def met(self) -> bool:
        """Nothing is missing."""
        return self.bytes <= 0 and self.inodes <= 0

    def after(self, candidate: Candidate) -> Need:
        """Return what is missing once a candidate is taken."""
        return Need(
            device=self.device,
            bytes=self.bytes - candidate.bytes,
            inodes=self.inodes - candidate.inodes,
            material_bytes=self.material_bytes,
            material_inodes=self.material_inodes,
        )

    def helps(self, candidate: Candidate) -> bool:
        """Return whether a candidate gives any of what is missing."""
        return (self.bytes > 0 and candidate.bytes > 0) or (self.inodes > 0 and candidate.inodes > 0)


@dataclass(frozen=True)
class Selection:
    """The causes that were found, what is done, and whether that is enough."""

    causes: tuple[str, ...]
    chosen: tuple[Candidate, ...]
    enough: bool


def select(candidates: Iterable[Candidate], needs: Sequence[Need]) -> Selection:
    """Return the first candidates, in their fixed order, that meet every need."""
    ordered = sorted(candidates, key=lambda candidate: candidate.order)
    parts = [_select_one([one for one in ordered if one.device == need.device], need) for need in needs]
    causes = {cause for part in parts for cause in part.causes}
    chosen = sorted((one for part in parts for one in part.chosen), key=lambda candidate: candidate.order)
    in_order = tuple(dict.fromkeys(one.cause for one in ordered if one.cause in causes))
    return Selection(causes=in_order, chosen=tuple(chosen), enough=all(part.enough for part in parts))


def _select_one(candidates: list[Candidate], need: Need) -> Selection:
    selection = _sufficient(candidates, need)
    followers = _followers(candidates, selection.chosen)
    causes = dict.fromkeys((*selection.causes, *(one.cause for one in followers)))
    return Selection(causes=tuple(causes), chosen=(*selection.chosen, *followers), enough=selection.enough)


def _sufficient(candidates: list[Candidate], need: Need) -> Selection:
    material = _material(candidates, need)
    selection = _take([one for one in candidates if one.cause in material], need, material)
    if selection.enough:
        return selection
    # What gives much is not enough: now everything that gives anything counts, if all of it together helps.
    helping = {one.cause for one in candidates if need.helps(one)}
    everything = _take(candidates, need, helping)
    # Where nothing is enough, what gives little stays: taking it would cure nothing.
    return everything if everything.enough else selection


def _material(candidates: list[Candidate], need: Need) -> set[str]:
    """Return the causes that can give much of what is missing."""
    freed: dict[str, list[int]] = {}
    for one in candidates:
        totals = freed.setdefault(one.cause, [0, 0])
        totals[0] += one.bytes
        totals[1] += one.inodes
    return {
        cause
        for cause, (count, inodes) in freed.items()
        if (need.bytes > 0 and count >= need.material_bytes > 0)
        or (need.inodes > 0 and inodes >= need.material_inodes > 0)
    }


def _followers(candidates: list[Candidate], chosen: Sequence[Candidate]) -> list[Candidate]:
    """Return what has to go as well, because something that goes is freed only together with it."""
    causes = {one.cause for one in chosen}
    return [one for one in candidates if one.details.get("follows") in causes and one not in chosen]


def _take(candidates: list[Candidate], need: Need, causes: set[str]) -> Selection:
    chosen: list[Candidate] = []
    for candidate in candidates:
        if need.met:
            break
        if need.helps(candidate):
            chosen.append(candidate)
            need = need.after(candidate)
    return Selection(causes=tuple(causes), chosen=tuple(chosen), enough=need.met)
