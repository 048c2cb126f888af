#!/bin/sh
# Installs the distribution's PostgreSQL for the tests, which start servers of their own: no service is started here.
set -eu
cd "$(dirname "$0")/.."
policy=/usr/sbin/policy-rc.d
if [ "$(id -u)" -eq 0 ] && [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 0755 "$policy"
fi
molecule/shared/install-packages.sh postgresql
