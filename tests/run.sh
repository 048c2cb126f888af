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
part lab pytest tests/integration/lab --ignore tests/integration/lab/test_host_restore.py
wait "$others" || failed+=(without-lab)
others=
cat "$logs/without-lab.log"
for name in "${failed[@]}"; do
  why "$name"
done
[[ ${#failed[@]} == 0 ]]
