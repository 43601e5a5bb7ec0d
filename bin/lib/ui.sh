# What the commands in bin/ say, and how they run a step. Source it after setting `root` (the checkout).
#
#   say TEXT…              a line for the reader
#   warn TEXT…             the same on stderr
#   die TEXT…              a line on stderr, exit 1
#   step TITLE HINT CMD…   run a command or function quietly: "TITLE … ok (3 s)"; if it fails, say which step,
#                          the end of its log and HINT (what to do), and exit 1
#
# shellcheck shell=sh
# shellcheck disable=SC2154  # root comes from the caller

say() { printf '%s\n' "$*"; }
warn() { printf '%s\n' "$*" >&2; }
die() { warn "$*"; exit 1; }

step() {
    step_title=$1 step_hint=$2
    shift 2
    mkdir -p "$root/.cache/log"
    step_log=$root/.cache/log/$(printf '%s' "$step_title" | tr -cs 'A-Za-z0-9\n' '-').log
    step_start=$(date +%s)
    printf '%s … ' "$step_title"
    # In the background, because `set -e` does not count inside a function that is called as a condition; the traps,
    # because a background job of a script does not hear Ctrl-C.
    (set -e; "$@") >"$step_log" 2>&1 &
    step_pid=$!
    trap 'kill "$step_pid" 2>/dev/null; exit 130' INT
    trap 'kill "$step_pid" 2>/dev/null; exit 143' TERM
    step_rc=0
    wait "$step_pid" || step_rc=$?
    trap - INT TERM
    if [ "$step_rc" -eq 0 ]; then
        say "ok ($(($(date +%s) - step_start)) s)"
        return
    fi
    say "FAILED ($(($(date +%s) - step_start)) s)"
    warn "The step \"$step_title\" failed with status $step_rc. The end of its log, ${step_log#"$root"/}:"
    tail -n 15 "$step_log" | sed 's/^/    /' >&2
    die "What to do: $step_hint"
}
