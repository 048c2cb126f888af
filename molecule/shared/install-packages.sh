#!/bin/sh
# Installs Debian packages that set-up needs, or says clearly which are missing where that cannot be done.
set -eu
if ! command -v apt-get >/dev/null 2>&1; then
  echo "These are missing here, and this is no Debian: $*. Install what they hold, then repeat." >&2
  exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "These Debian packages are missing: $*. Run as root: apt-get install $*" >&2
  exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@"
