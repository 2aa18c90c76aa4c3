#!/bin/sh
# Starts PostgreSQL and three schedulers on this machine, kills the one that leads, and counts the slots.
#
# POSTGRES is the directory of PostgreSQL's programs, unless they are where Debian puts them. Everything is in a
# temporary directory, and ends with this script.
set -eu
cd "$(dirname "$0")"
programs=${POSTGRES:-$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1)}
[ -x "$programs/initdb" ] || { echo "PostgreSQL is not here: apt-get install postgresql" >&2; exit 1; }
folder=$(mktemp -d)

# PostgreSQL does not run as root.
as() { exec "$@"; }
if [ "$(id -u)" = 0 ]; then
    user=postgres; id "$user" >/dev/null 2>&1 || user=nobody
    as() { exec setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups "$@"; }
    if (as test -x "$programs/initdb"); then
        mkdir "$folder/db"; chown "$user" "$folder/db"; chmod 711 "$folder"
    else
        # The programs are in a directory of root alone.
        as() { exec unshare --user --map-user=65534 "$@"; }
        mkdir "$folder/db"
    fi
else
    mkdir "$folder/db"
fi

processes=
end() {
    for process in $processes; do kill "$process" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# `until_true COMMAND…`: tries it for a minute.
until_true() {
    for _ in $(seq 300); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.2
    done
    echo "this took too long: $*" >&2
    exit 1
}
leader() { portolan machines --json | sed 's/},{/}\n{/g' | sed -n 's/.*"name":"\([^"]*\)","role":"leader","alive":true.*/\1/p'; }
is_led() { [ -n "$(leader)" ] && [ "$(leader)" != "${killed:-}" ]; }

(cd / && as "$programs/initdb" -D "$folder/db" -A trust -U portolan -E UTF8 -N) >"$folder/initdb.log"
(cd / && as "$programs/postgres" -D "$folder/db" -k "$folder/db" -c listen_addresses= -c port=5432) >"$folder/postgres.log" 2>&1 &
database=$!
export PORTOLAN_STORE="postgres://portolan@$(echo "$folder/db" | sed 's,/,%2F,g')/postgres"
until_true portolan runs

portolan publish -m "the first jobs"
echo "three machines share the schedule"
for name in one two three; do
    portolan serve --published --name "$name" --workers 4 --state "$folder/$name" 2>"$folder/$name.log" &
    eval "$name=\$!"
    processes="$processes $!"
done
processes="$processes $database"
until_true is_led
sleep "${SECONDS_BEFORE:-8}"
portolan machines

killed=$(leader)
echo
echo "kill -9 of \`$killed\`, which leads"
eval "kill -9 \"\$$killed\""
begun=$(date +%s)
until_true is_led
echo "\`$(leader)\` leads after $(($(date +%s) - begun)) s"
sleep "${SECONDS_AFTER:-12}"
portolan machines

echo
for name in one two three; do
    eval "kill \"\$$name\" 2>/dev/null" || true
done
until_true sh -c '[ "$(portolan machines --json)" = "[]" ]'
portolan runs --json --limit 100000 >"$folder/runs.json"
portolan run --quiet scripts/count.rhai "$folder/runs.json"
