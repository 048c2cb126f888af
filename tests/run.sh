#!/usr/bin/env bash
# All tests. The lab is started here and removed again, also after a failure; pytest's closing lines come last.
#
# What needs no lab runs beside the scenarios: those mostly wait for their hosts.
set -euo pipefail
cd "$(dirname "$0")/.."

# Every scenario goes through its first case here, and through all of them in `make soak`.
export CASES=${CASES:-1}
log=.cache/tests-without-lab.log
others=

stop() {
  local code=$?
  if [[ -n "$others" ]] && kill "$others" 2>/dev/null; then
    wait "$others" || true
    tail -n 40 "$log"
  fi
  if [[ -z "${KEEP_LAB:-}" ]]; then
    .venv/bin/python molecule/shared/lab.py down
  fi
  exit "$code"
}

make lint
trap stop EXIT
.venv/bin/python molecule/shared/lab.py up
mkdir -p .cache
pytest tests --ignore tests/integration/lab --basetemp .cache/tests-without-lab >"$log" 2>&1 &
others=$!
# First the one that compares a whole host before and after, on hosts that nothing has been done to yet.
scenarios=(disk_full)
for scenario in molecule/*/molecule.yml; do
  name=$(basename "$(dirname "$scenario")")
  [[ "$name" == disk_full ]] || scenarios+=("$name")
done
for scenario in "${scenarios[@]}"; do
  molecule test --scenario-name "$scenario"
done
pytest tests/integration/lab
code=0
wait "$others" || code=$?
others=
cat "$log"
exit "$code"
