#!/usr/bin/env bash
# All tests. The lab is started here and removed again, also after a failure. One failure does not hide the next: all is
# run, and what failed is said last, with the lines that tell why.
#
# What needs no lab runs beside the scenarios: those mostly wait for their hosts.
set -euo pipefail
cd "$(dirname "$0")/.."

# How many of its cases a scenario goes through here; in `make soak` it is all of them.
cases_of() {
  [[ "$1" == disk_full ]] && echo 2 || echo 1
}

# Restores are tried by the tests on hosts as well, and a trial of a restore begins with backups and looks at them; the
# scenarios of these take minutes each and are for `make soak`.
is_for_soak() {
  [[ "$1" == *_restore || "$1" == backup_* ]]
}

logs=.cache/tests
others=
failed=()

stop() {
  local code=$?
  if [[ -n "$others" ]] && kill "$others" 2>/dev/null; then
    wait "$others" || true
  fi
  if [[ -z "${KEEP_LAB:-}" ]]; then
    .venv/bin/python molecule/shared/lab.py down
  fi
  exit "$code"
}

# Input: the name of a part, and the command that is it.
part() {
  local name=$1 began=$SECONDS
  shift
  if "$@" 2>&1 | tee "$logs/$name.log"; then
    echo "== $name: passed after $((SECONDS - began)) s"
  else
    echo "== $name: failed after $((SECONDS - began)) s"
    failed+=("$name")
  fi
}

# Input: the name of a part that failed.
why() {
  echo "== $1 failed:"
  grep --extended-regexp 'fatal: |FAILED|^(FAILED|ERROR) |Error 1|: error: ' "$logs/$1.log" | cut --characters=-1500 | tail -n 12 \
    || tail -n 12 "$logs/$1.log"
}

rm -rf "$logs"
mkdir -p "$logs"
trap stop EXIT
# The lab waits for what it fetches and for its hosts, and the linters need no lab.
.venv/bin/python molecule/shared/lab.py up >"$logs/lab-up.log" 2>&1 &
others=$!
part lint make lint
if ! wait "$others"; then
  cat "$logs/lab-up.log"
  exit 1
fi
cat "$logs/lab-up.log"
pytest tests --ignore tests/integration/lab --basetemp .cache/tests-without-lab >"$logs/without-lab.log" 2>&1 &
others=$!
# First the one that compares a whole host before and after, on hosts that nothing has been done to yet.
scenarios=(disk_full)
for scenario in molecule/*/molecule.yml; do
  name=$(basename "$(dirname "$scenario")")
  [[ "$name" == disk_full ]] || is_for_soak "$name" || scenarios+=("$name")
done
for name in "${scenarios[@]}"; do
  CASES=${CASES:-$(cases_of "$name")} part "$name" molecule test --scenario-name "$name"
done
# A host that is lost and made anew takes minutes, and the next one is another one: for `make soak`.
# Of those that take longest, one layout each; both in `make soak`. Damage of PostgreSQL's repository on the source is
# healed by a new copy each time, which takes minutes; so does each kind of damage to what was restored.
at=tests/integration/lab
once=(
  "$at/test_disk_full.py::test_rollback_refuses_to_overwrite_something_newer_and_writes_nothing[landsraad]"
  "$at/test_disk_full.py::test_a_full_disk_is_cured_proven_and_found_healthy_by_the_second_run[landsraad]"
  "$at/test_disk_full.py::test_check_leaves_every_file_as_it_was_and_lists_exactly_what_a_run_then_does[landsraad-systemd]"
  "$at/test_disk_full.py::test_rollback_puts_back_every_held_file_as_it_was[landsraad-systemd]"
  "$at/test_hand_over.py::test_an_outage_by_a_full_disk_is_cured_by_the_runbook_for_disks_and_proven_by_its_own[landsraad]"
  "$at/test_kill.py::test_kill_in_the_middle_of_the_fix[landsraad-0]"
  "$at/test_ssl_expiry.py::test_where_the_acme_server_does_not_answer_nothing_is_changed[landsraad]"
  "$at/test_postgresql.py::test_damage_of_a_copy_is_noticed_with_the_right_verdict[pgbackrest_bit-BACKUP_BAD]"
  "$at/test_postgresql.py::test_damage_of_a_copy_is_noticed_with_the_right_verdict[wal_bit-CHAIN_GAP]"
  "$at/test_postgresql.py::test_damage_of_a_copy_is_noticed_with_the_right_verdict[wal_missing-CHAIN_GAP]"
  "$at/test_postgresql.py::test_damage_of_a_copy_is_noticed_with_the_right_verdict[wal_cut-CHAIN_GAP]"
  "$at/test_postgresql.py::test_a_drill_that_is_killed_leaves_no_server_and_the_next_one_takes_its_place"
  "$at/test_postgresql.py::test_a_segment_that_is_missing_is_noticed_before_anything_is_stored_and_a_new_copy_heals"
  "$at/test_postgresql.py::test_without_a_logical_log_nothing_is_counted_and_nothing_is_claimed"
  "$at/test_postgresql.py::test_a_segment_that_was_cut_on_the_source_is_a_gap_and_a_new_copy_heals"
  "$at/test_postgresql.py::test_a_copy_that_builds_on_a_damaged_one_is_not_stored_but_a_full_one_is"
  "$at/test_postgresql.py::test_the_newest_copy_that_is_damaged_is_passed_over_for_the_one_before"
  "$at/test_postgresql.py::test_the_commands_of_the_how_to_bring_back_what_was_there_at_the_newest_backup"
)
part lab pytest "$at" --durations 15 --ignore "$at/test_host_restore.py" "${once[@]/#/--deselect=}"
wait "$others" || failed+=(without-lab)
others=
cat "$logs/without-lab.log"
for name in "${failed[@]}"; do
  why "$name"
done
[[ ${#failed[@]} == 0 ]]
