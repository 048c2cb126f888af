#!/usr/bin/env bash
# The main job on a real host: a disk fills up, the application fails for it, one command cures and proves it.
set -euo pipefail
cd "$(dirname "$0")/../.."

host=landsraad
on_host() { ssh -F .lab/ssh/config "$host" "$@"; }
say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
health() { on_host curl --silent --max-time 10 --output /dev/null --write-out "%{http_code}" http://127.0.0.1/health/ready; }
show_state() {
  on_host df --human-readable /disk
  echo "GET /health/ready: $(health)"
}
site=(--site molecule/shared/site)

say "A healthy host"
.venv/bin/python molecule/shared/lab.py reset "$host"
show_state

say "The disk fills up"
ansible-playbook --inventory inventory/lab --limit "$host" molecule/disk_full/break.yml --extra-vars fault=demo
show_state
used=$(on_host df --output=pcent /disk | tail -1 | tr -dc 0-9)
[[ "$used" -gt 95 ]] || { echo "the disk should be fuller than 95 %, it is at $used %" >&2; exit 1; }
[[ "$(health)" != 200 ]] || { echo "the application should fail for the full disk" >&2; exit 1; }

say "What would be done: remediate plan disk-full --limit $host"
remediate "${site[@]}" plan disk-full --limit "$host"

say "The cure: remediate disk-full --limit $host --yes"
remediate "${site[@]}" disk-full --limit "$host" --yes

say "The proof, by hand"
show_state
on_host sudo sh -c "'echo written > /opt/chom/storage/logs/.proof && rm /opt/chom/storage/logs/.proof && echo a write works'"
free=$((100 - $(on_host df --output=pcent /disk | tail -1 | tr -dc 0-9)))
[[ "$free" -gt 20 ]] || { echo "more than 20 % should be free, it is $free %" >&2; exit 1; }
[[ "$(health)" == 200 ]] || { echo "the application should be ready again" >&2; exit 1; }

say "The record: remediate runs"
remediate "${site[@]}" runs --limit 3

say "Once more: there is nothing to do"
remediate "${site[@]}" disk-full --limit "$host" --yes
