#!/bin/sh
# Starts a coordinator and a node in one process, stores files, fetches them back and stops it again.
# Everything happens in a temporary folder, which is removed at the end.
#
#   COLLECTIVE   the executable; dist/collective of this repository unless told
#   COLLECTIVE_COORDINATOR_ADDRESS, COLLECTIVE_BOOTSTRAP_ADDRESS, COLLECTIVE_NODE_ADDRESS,
#   COLLECTIVE_METRICS_ADDRESS   other addresses than those in collective.json
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"

printf 'alice$ collective serve --role all -c collective.json\n'
launch alice alice serve --role all -c "$here/collective.json"
until_ready alice

# One node can keep one copy, so one copy is what this store asks for.
as alice store create documents --replicas 1
as alice put -r "$here" /documents/example
printf 'Hello from %s\n' "$(uname -s)" >"$work/hello.txt"
as alice write /documents/hello.txt <"$work/hello.txt"
as alice ls -l -R /documents

as alice get -r /documents/example "$work/fetched"
as alice read /documents/hello.txt
quietly alice read /documents/hello.txt >"$work/read.txt"
diff -r "$here" "$work/fetched"
diff "$work/hello.txt" "$work/read.txt"
printf '\nWhat was fetched is what was stored.\n'

as alice verify -r /documents
as alice status

stop_all
printf '\nstopped\n'
