#!/usr/bin/env bash
# Lints what runs on hosts: `playbooks`, or what `molecule` runs with the inventories. A part that passed is not looked at
# again until something it depends on changes, as the other linters do it too: this one takes longer than all of them and
# knows no cache. `make clean` forgets what passed.
#
# What molecule runs only names roles and modules of `playbooks`, so it depends on which files are there, not on their text.
set -euo pipefail
cd "$(dirname "$0")/.."

passed=.cache/lint
settings=(.ansible-lint ansible.cfg requirements.lock)

texts() {
  find "$@" -type f ! -name '*.pyc' -print0 | sort --zero-terminated | xargs --null sha256sum
}

names() {
  find "$@" -type f ! -name '*.pyc' | sort
}

# Input: the digest of all that the result depends on, and what is linted.
lint() {
  local digest=${1%% *}
  shift
  if [[ -e "$passed/$digest" ]]; then
    echo "unchanged since it passed: $*"
    return
  fi
  ansible-lint --offline "$@"
  mkdir -p "$passed"
  touch "$passed/$digest"
}

case "${1:-nothing}" in
  playbooks) lint "$(texts "${settings[@]}" playbooks | sha256sum)" playbooks ;;
  molecule) lint "$( (texts "${settings[@]}" molecule inventory && names playbooks) | sha256sum)" molecule inventory ;;
  *) echo "tests/lint-content.sh: say playbooks or molecule, not ${1:-nothing}" >&2; exit 2 ;;
esac
