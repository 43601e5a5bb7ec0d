#!/bin/sh
# Runs one role's molecule scenario on the test fleet: ci/scenario.sh NAME. Prints how it ended; the rest is in its log.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
log=$root/.cache/log/role-$1.log
start=$(date +%s)
cd "$root/collections/ansible_collections/hostreeve/hosting"
# Without the reset molecule remembers an earlier run and leaves `prepare` out.
if { molecule reset --scenario-name "$1" && molecule test --scenario-name "$1"; } >"$log" 2>&1 </dev/null; then
    echo "$1 ok ($(($(date +%s) - start)) s)"
else
    echo "$1 FAILED ($(($(date +%s) - start)) s); the end of .cache/log/role-$1.log:"
    tail -n 50 "$log"
    exit 1
fi
