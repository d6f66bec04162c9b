#!/bin/sh
# Starts a coordinator and a node in one process, stores files, fetches them back and stops it again.
# Everything happens in a temporary folder, which is removed at the end.
#
#   COLLECTIVE   the executable; dist/collective of this repository unless told
#   COLLECTIVE_COORDINATOR_ADDRESS, COLLECTIVE_BOOTSTRAP_ADDRESS, COLLECTIVE_NODE_ADDRESS,
#   COLLECTIVE_METRICS_ADDRESS   other addresses than those in collective.json
set -eu

here=$(cd "$(dirname "$0")" && pwd)
collective=${COLLECTIVE:-$here/../../dist/collective}
if [ ! -x "$collective" ]; then
  echo "run.sh: $collective is missing; build it with: npm run build" >&2
  exit 1
fi

work=$(mktemp -d)
server=
clean_up() {
  if [ -n "$server" ]; then
    kill "$server" 2>/dev/null || true
    wait "$server" || true
  fi
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

run() {
  printf '\n$ collective %s\n' "$*"
  "$collective" "$@"
}

# The data directories of collective.json are relative, and the contexts go into a home of their own.
cd "$work"
export COLLECTIVE_HOME="$work/home"

printf '$ collective serve --role all -c collective.json\n'
"$collective" serve --role all -c "$here/collective.json" >"$work/ready" 2>"$work/log" &
server=$!
tries=0
until grep '^ready ' "$work/ready"; do
  tries=$((tries + 1))
  if [ "$tries" -gt 200 ] || ! kill -0 "$server" 2>/dev/null; then
    echo "run.sh: it did not start:" >&2
    cat "$work/log" >&2
    exit 1
  fi
  sleep 0.1
done
# From here on the context that the coordinator wrote says where it is.
unset COLLECTIVE_COORDINATOR_ADDRESS

# One node can keep one copy, so one copy is what this store asks for.
run store create documents --replicas 1
run put -r "$here" /documents/example
printf 'Hello from %s\n' "$(uname -s)" >"$work/hello.txt"
run write /documents/hello.txt <"$work/hello.txt"
run ls -l -R /documents

run get -r /documents/example "$work/fetched"
printf '\n$ collective read /documents/hello.txt\n'
"$collective" read /documents/hello.txt | tee "$work/read.txt"
diff -r "$here" "$work/fetched"
diff "$work/hello.txt" "$work/read.txt"
printf '\nWhat was fetched is what was stored.\n'

run verify -r /documents
run status

kill "$server"
wait "$server"
server=
printf '\nstopped\n'
