# The demo's own services: a private queue on a socket, the API on loopback, the worker. Source it after ui.sh.
#
#   services_start   start what is not running; SQLite and a key of the platform's operator are made the first time
#   services_stop    stop all of it, in reverse order, and wait until it is gone
#
# shellcheck shell=sh
# shellcheck disable=SC2154  # root comes from the caller

services_state=$root/.cache/demo
# Socket paths are limited to about a hundred characters, so they do not live below the checkout.
services_run=/run/hostreeve-demo

services_environment() {
    umask 077
    mkdir -p "$services_state" "$services_run"
    [ -s "$services_state/secret" ] ||
        "$root/.venv/bin/python" -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())' \
            >"$services_state/secret"
    HOSTREEVE_DATABASE_URL=sqlite:///$services_state/hostreeve.db
    HOSTREEVE_REDIS_URL=unix://$services_run/queue.sock
    HOSTREEVE_DATA_DIR=$services_state/data
    HOSTREEVE_RUN_DIR=/dev/shm/hostreeve-demo
    HOSTREEVE_SSH_KEY=$root/.cache/fleet/demo/key
    HOSTREEVE_SSH_KNOWN_HOSTS=$root/.cache/fleet/demo/known_hosts
    HOSTREEVE_SECRET_KEY=$(cat "$services_state/secret")
    PROMETHEUS_MULTIPROC_DIR=$services_run/metrics
    mkdir -p "$PROMETHEUS_MULTIPROC_DIR"
    export HOSTREEVE_DATABASE_URL HOSTREEVE_REDIS_URL HOSTREEVE_DATA_DIR HOSTREEVE_RUN_DIR HOSTREEVE_SSH_KEY \
        HOSTREEVE_SSH_KNOWN_HOSTS HOSTREEVE_SECRET_KEY PROMETHEUS_MULTIPROC_DIR
}

# services_started PID: when a process was started, in ticks since boot; with the pid, that names it for good. Nothing
# for one that has ended and waits for its parent, which may never ask (in a container without an init)
services_started() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" { print $20 }'; }

# services_running NAME: the process of the pid file lives, and is the one that was started (pids come again)
services_running() {
    [ -s "$services_state/$1.pid" ] || return 1
    read -r services_pid services_since <"$services_state/$1.pid"
    [ "$(services_started "$services_pid")" = "$services_since" ]
}

# services_launch NAME COMMAND…: start a daemon of our own unless it runs
services_launch() {
    services_name=$1
    shift
    services_running "$services_name" && return
    setsid "$@" >>"$services_state/$services_name.log" 2>&1 </dev/null &
    echo "$! $(services_started $!)" >"$services_state/$services_name.pid"
}

# services_wait SECONDS COMMAND…: until it succeeds
services_wait() {
    services_left=$1
    shift
    until "$@" >/dev/null 2>&1; do
        services_left=$((services_left - 1))
        [ "$services_left" -gt 0 ] || { echo "no success in time: $*"; return 1; }
        sleep 1
    done
}

services_start() {
    services_environment
    services_launch queue "$(setup_redis_server)" --port 0 --unixsocket "$services_run/queue.sock" --unixsocketperm 700 \
        --dir "$services_state" --appendonly yes --maxmemory-policy noeviction --daemonize no
    cd "$root" || return 1
    python -m api db upgrade
    services_launch api gunicorn -c python:api.gunicorn 'api.app:create_app()'
    services_launch worker python -m worker --workers 3
    [ -s "$services_state/api-key" ] ||
        python -m api keys create --name demo --scopes '*' --brands '*' >"$services_state/api-key"
    services_wait 30 curl -fsS http://127.0.0.1:8000/readyz
}

services_stop() {
    for services_name in worker api queue; do
        if services_running "$services_name"; then
            kill -TERM "$services_pid"
            services_wait 60 services_gone || kill -s KILL -- "-$services_pid"
        fi
        rm -f "$services_state/$services_name.pid"
    done
    rm -rf "$services_run" /dev/shm/hostreeve-demo
}

services_gone() { ! services_running "$services_name"; }
