from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue, ValidationError

from remediate.domain.audit import (
    BEGINNING,
    GENESIS,
    AuditEntry,
    Due,
    Place,
    SignedHead,
    StoredEvent,
    chained,
    event_text,
    following,
    head_due,
    head_line,
    read_event,
    signed_message,
)
from remediate.domain.audit_check import Flaw, verify
from remediate.testing import EPOCH
from tests.builders import entry


def trail(*entries: AuditEntry) -> list[StoredEvent]:
    last, stored = BEGINNING, []
    for one in entries:
        event, text = following(last, one)
        last = Place(event.sequence, event.hash)
        stored.append((event.sequence, text, event.hash))
    return stored


def ten() -> list[StoredEvent]:
    return trail(*(entry(f"run-{number}", details={"reason": f"reason {number}"}) for number in range(1, 11)))


def head(event: StoredEvent, at: datetime = EPOCH) -> SignedHead:
    return SignedHead(sequence=event[0], hash=event[2], at=at, key_id="0" * 16, signature="")


def rehashed(stored: Sequence[StoredEvent], changed: StoredEvent) -> list[StoredEvent]:
    """What a patient forger makes of a trail: one text changed, and every hash after it made anew."""
    last, forged = GENESIS, []
    for sequence, text, _ in stored:
        body = changed[1] if sequence == changed[0] else text
        last = chained(last, body)
        forged.append((sequence, body, last))
    return forged


def another(event: StoredEvent) -> StoredEvent:
    return (event[0], event_text(event[0], entry("run-666")), event[2])


def found(stored: Sequence[StoredEvent], *heads: SignedHead) -> tuple[Flaw | None, int | None, int | None]:
    verdict = verify(stored, heads)
    return verdict.flaw, verdict.first_bad, verdict.first_bad_at_latest


def test_the_text_of_an_event_is_canonical_json_in_utc_and_its_hash_covers_the_hash_before() -> None:
    cet = timezone(timedelta(hours=1))
    first, text = following(BEGINNING, entry("run-1", at=datetime(2026, 1, 5, 4, 0, tzinfo=cet), details={"b": "ü"}))

    assert text.decode() == (
        '{"action":"run.moved","actor":"nadia","at":"2026-01-05T03:00:00Z","details":{"b":"ü"},"sequence":1,"subject":"run-1"}'
    )
    assert first.hash == hashlib.sha256(b"0" * 64 + text).hexdigest()
    assert read_event((1, text, first.hash)) == first


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValidationError):
        entry(at=datetime(2026, 1, 5))  # noqa: DTZ001  # that is what is refused


def test_what_canonical_json_cannot_hold_is_written_as_text() -> None:
    odd = entry("a\udc80", actor="\x00", details={"\udcff": ["\ud800", 2**60, float("inf"), 2**53 - 1, True, 1.5]})

    assert odd.subject == "a\\udc80"
    assert odd.details == {"\\udcff": ["\\ud800", hex(2**60), "inf", 2**53 - 1, True, 1.5]}
    assert verify(trail(odd)).intact


def test_a_trail_that_nobody_touched_is_intact() -> None:
    verdict = verify(ten(), [head(ten()[4]), head(ten()[9])])

    assert (verdict.intact, verdict.checked, verdict.last) == (True, 10, 10)
    assert verify([]).intact


def test_a_changed_text_is_found() -> None:
    stored = ten()
    stored[6] = another(stored[6])

    assert found(stored) == (Flaw.EDITED, 7, 7)
    assert verify(stored).reason == "event 7 was changed: its text and its hash do not belong together"
    assert verify(stored).checked == 6


def test_a_changed_hash_is_found() -> None:
    stored = ten()
    stored[6] = (7, stored[6][1], "f" * 64)

    assert found(stored) == (Flaw.EDITED, 7, 7)


def test_a_deleted_event_is_found_at_the_number_that_is_missing() -> None:
    stored = ten()
    del stored[3:6]

    assert found(stored) == (Flaw.MISSING, 4, 4)
    assert verify(stored).reason == "events 4 to 6 are missing"


def test_a_deleted_beginning_is_found() -> None:
    assert found(ten()[1:]) == (Flaw.MISSING, 1, 1)


@pytest.mark.parametrize("number", [0, -7])
def test_an_event_that_was_put_before_the_first_is_found(number: int) -> None:
    assert found([(number, b"{}", "0" * 64), *ten()]) == (Flaw.MISSING, number, number)


def test_events_that_changed_places_are_found_at_the_first_of_them() -> None:
    stored = ten()
    stored[2], stored[7] = (3, *stored[7][1:]), (8, *stored[2][1:])

    assert found(stored) == (Flaw.MISPLACED, 3, 3)
    assert verify(stored).reason == "event 3 holds the text of event 8: events were moved"


def test_a_deleted_event_whose_gap_was_closed_is_found() -> None:
    stored = ten()
    closed = [*stored[:4], *((sequence - 1, text, digest) for sequence, text, digest in stored[5:])]

    assert found(closed) == (Flaw.MISPLACED, 5, 5)


def test_a_trail_that_was_cut_off_is_found_by_a_head_and_only_by_one() -> None:
    stored = ten()

    assert found(stored[:7]) == (None, None, None)
    assert found(stored[:7], head(stored[6])) == (None, None, None)
    assert found(stored[:7], head(stored[9])) == (Flaw.CUT_OFF, 8, 8)
    assert verify(stored[:7], [head(stored[9])]).reason == (
        "events 8 to 10 are missing at the end: they were cut off, or an older copy of the database was restored. "
        "A head vouches for event 10, signed at 2026-01-05 03:00:00Z"
    )


def test_an_empty_trail_is_cut_off_when_a_head_says_so() -> None:
    assert found([], head(ten()[0])) == (Flaw.CUT_OFF, 1, 1)


def test_a_rewritten_trail_is_found_by_a_head_between_the_last_that_fits_and_the_first_that_does_not() -> None:
    stored = ten()
    forged = rehashed(stored, another(stored[5]))

    assert found(forged) == (None, None, None)
    assert found(forged, head(stored[9])) == (Flaw.REWRITTEN, 1, 10)
    assert found(forged, head(stored[3]), head(stored[7]), head(stored[9])) == (Flaw.REWRITTEN, 5, 8)
    assert found(forged, head(stored[4]), head(stored[5])) == (Flaw.REWRITTEN, 6, 6)
    assert "event 6 is not the one that was signed at 2026-01-05 03:00:00Z" in verify(forged, [head(stored[5])]).reason


def test_heads_of_the_record_itself_convict_and_do_not_vouch() -> None:
    stored = ten()
    forged = rehashed(stored, another(stored[5]))

    assert verify(forged, own=[head(stored[9])]).flaw is Flaw.REWRITTEN
    assert verify(stored[:7], own=[head(stored[9])]).flaw is Flaw.CUT_OFF
    whole = verify(forged, [head(stored[9])], own=[head(forged[8])])
    assert (whole.first_bad, whole.first_bad_at_latest) == (1, 10)


def test_two_heads_of_one_event_that_differ_cannot_both_hold() -> None:
    stored = ten()
    forged = rehashed(stored, another(stored[5]))

    assert found(forged, head(forged[9]), head(stored[9])) == (Flaw.REWRITTEN, 1, 10)
    assert found(forged, head(stored[9]), head(forged[9])) == (Flaw.REWRITTEN, 1, 10)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"sequence":3}',
        event_text(3, entry()).replace(b":", b": ", 1),
        event_text(3, entry()).replace(b'"sequence":3', b'"sequence":3.0'),
        event_text(3, entry()).replace(b'"sequence":3', b'"sequence":true'),
        event_text(3, entry()).replace(b'"actor"', b'"actor":"omar","actor"'),
        event_text(3, entry(details={"a": "ü"})).replace("ü".encode(), b"\\u00fc"),
        event_text(3, entry(details={"a": 1})).replace(b'"a":1', b'"a":1.0'),
        event_text(3, entry(details={"a": "\x7f"})).replace(b"\x7f", b"\\u007f"),
        event_text(3, entry(details={"a": "x"})).replace(b'"a":"x"', '"\ufb33":1,"\U0001f600":2'.encode()),
    ],
)
def test_a_text_that_this_program_does_not_write_is_found_even_when_its_hash_fits(text: bytes) -> None:
    stored = ten()

    assert found(rehashed(stored, (3, text, ""))) == (Flaw.FORGED, 3, 3)


def test_text_of_every_kind_is_its_own_canonical_form() -> None:
    details: dict[str, JsonValue] = {"ü": 1.5, "\U0001f600": "\u202e\x00", "\ufb33": [None, True, 1e30, 0.000001]}

    assert verify(trail(entry(details=details), entry('\x7f\\"'))).intact


def test_a_trail_is_checked_on_from_a_place_that_is_known_to_hold() -> None:
    stored = ten()
    since = Place(stored[3][0], stored[3][2])

    assert verify(stored[4:], start=since).checked == 6
    assert verify(stored[5:], start=since).first_bad == 5
    assert verify(stored[4:], start=Place(4, "f" * 64)).first_bad == 5


_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_entries = st.builds(
    entry,
    _texts,
    _texts,
    details=st.dictionaries(
        _texts, st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | _texts, max_size=3
    ),
)


@given(st.lists(_entries, min_size=1, max_size=8), st.data())
def test_any_change_of_any_row_is_found_at_its_number(entries: list[AuditEntry], data: st.DataObject) -> None:
    stored = trail(*entries)
    at = data.draw(st.integers(0, len(stored) - 1))
    sequence, text, digest = stored[at]
    position = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != text[position]))
    kind = data.draw(st.sampled_from(["byte", "longer", "shorter", "hash", "number"]))
    changes: dict[str, StoredEvent] = {
        "byte": (sequence, text[:position] + bytes([other]) + text[position + 1 :], digest),
        "longer": (sequence, text + bytes([other]), digest),
        "shorter": (sequence, text[:position], digest),
        "hash": (sequence, text, hashlib.sha256(digest.encode()).hexdigest()),
        "number": (sequence + len(stored), text, digest),
    }
    stored[at] = changes[kind]

    verdict = verify(sorted(stored))
    assert not verdict.intact
    assert verdict.first_bad == sequence


@given(st.lists(_entries, min_size=2, max_size=8), st.data())
def test_any_event_that_is_taken_out_or_moved_is_found_at_its_number(
    entries: list[AuditEntry], data: st.DataObject
) -> None:
    stored = trail(*entries)
    at = data.draw(st.integers(0, len(stored) - 2))
    further = data.draw(st.integers(at + 1, len(stored) - 1))
    moved = [*stored]
    moved[at], moved[further] = (at + 1, *stored[further][1:]), (further + 1, *stored[at][1:])

    assert verify(moved).first_bad == at + 1
    assert verify([*stored[:at], *stored[at + 1 :]]).first_bad == at + 1
    assert verify(stored[: at + 1], [head(stored[further])]).first_bad == at + 2


def newest(sequence: int, at: datetime = EPOCH) -> SignedHead:
    return SignedHead(sequence=sequence, hash="a" * 64, at=at, key_id="0" * 16, signature="")


@pytest.mark.parametrize(
    ("recorded", "last", "passed", "due"),
    [
        (0, None, 0, Due.NOTHING_NEW),
        (1, None, 0, Due.FIRST),
        (50, 50, 999, Due.NOTHING_NEW),
        (51, 50, 59, Due.NOT_YET),
        (51, 50, 60, Due.TIME),
        (149, 50, 0, Due.NOT_YET),
        (150, 50, 0, Due.EVENTS),
        (49, 50, 0, Due.BEHIND),
    ],
)
def test_a_head_is_due_after_enough_events_or_enough_time(
    recorded: int, last: int | None, passed: int, due: Due
) -> None:
    head_before = newest(last) if last else None
    now = EPOCH + timedelta(minutes=passed)

    assert head_due(recorded, head_before, now, every_events=100, every=timedelta(hours=1)) is due
    assert due.now == (due in {Due.FIRST, Due.TIME, Due.EVENTS, Due.BEHIND})


def test_a_head_is_one_line_of_canonical_json_and_its_signature_covers_all_the_rest() -> None:
    signed = newest(7, EPOCH + timedelta(microseconds=5)).model_copy(update={"signature": "c2ln"})
    fields = json.loads(head_line(signed))

    assert SignedHead.model_validate_json(head_line(signed)) == signed
    assert head_line(signed).encode() == rfc8785.dumps(fields)
    assert fields.pop("signature") == "c2ln"
    assert signed_message(signed) == rfc8785.dumps(fields)
