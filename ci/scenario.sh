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
    echo "$1 FAILED ($(($(date +%s) - start)) s); what failed last in .cache/log/role-$1.log, and its end:"
    # The cleanup comes after it. Tasks that are meant to fail are among them, so more than one is shown.
    sed 's/\x1b\[[0-9;]*m//g; s/^ *│ \{0,1\}//' "$log" |
        awk '/^(TASK|RUNNING|PLAY) / { if (bad) seen[++count] = task; task = ""; bad = 0 }
            { task = task $0 "\n" }
            /^(fatal|failed): / { bad = 1 }
            END { for (i = count - 2; i <= count; i++) if (i in seen) print seen[i] }'
    tail -n 20 "$log"
    exit 1
fi
