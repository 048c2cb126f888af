#!/usr/bin/env bash
# A backup that proves itself: orders are written, a backup is made, and another host restores it and compares.
set -euo pipefail
cd "$(dirname "$0")/../.."

source=landsraad-systemd
host=mentat
orders=25
on() { ssh -F .lab/ssh/config "$@"; }
say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
counted() { on "$source" sudo mariadb --batch --skip-column-names chom --execute "'SELECT COUNT(*) FROM orders'"; }
site=(--site molecule/shared/site)

say "Orders come into the application on $source"
before=$(counted)
began=$(on "$source" date +%s)
on "$source" curl --silent --fail --max-time 60 --output /dev/null --header "'Content-Type: application/json'" \
  --data "'{\"count\": $orders, \"queue\": \"default\"}'" http://127.0.0.1/orders/many
after=$(counted)
echo "orders: $before before, $after now"
[[ "$after" -ge $((before + orders)) ]] || { echo "the application should have taken $orders orders" >&2; exit 1; }

say "A backup that has them: remediate backup-create --limit $source --set logs_minutes=2 --set files_hours=0"
# Tried a moment ago, nothing is due yet: it is in two minutes at most.
ends=$((SECONDS + 180))
until on "$source" sudo find /var/backups/remediate/snapshots -type f -newermt "@$began" 2>/dev/null | grep --quiet .; do
  [[ "$SECONDS" -lt "$ends" ]] || { echo "a backup should have been made" >&2; exit 1; }
  remediate "${site[@]}" backup-create --limit "$source" --yes --set logs_minutes=2 --set files_hours=0
  sleep 5
done

say "What would be tried: remediate plan restore-test --limit $host --set only=$source"
remediate "${site[@]}" plan restore-test --limit "$host" --set "only=$source"

say "The restore, on $host: remediate restore-test --limit $host --set only=$source"
remediate "${site[@]}" restore-test --limit "$host" --yes --set "only=$source"

say "The report"
report=$(on "$host" sudo cat "/var/lib/remediate-drill/reports/$source.json")
REPORT=$report python3 - <<'PYTHON'
import json
import os
import sys

report = json.loads(os.environ["REPORT"])
print(f"{report['verdict']}: {report['reason']}")
for phase in report["phases"]:
    print(f"  {phase['name']:8} {phase['seconds']:7.2f} s  {phase['bytes'] / 1e6:8.1f} MB")
print(f"  restored after {report['rto_seconds']:.1f} s; {report['rpo_seconds']:.0f} s of changes would be lost")
print(f"  {report['tables_compared']} of {report['tables_total']} tables compared at their position, up to {report['position']}")
sys.exit(report["verdict"] != "PASS" or report["tables_compared"] != report["tables_total"])
PYTHON
