# What the scripts of the examples share; they source it with `here` set to their own folder.
#
# Everything lies in a temporary folder, $work, that is removed at the end. Whatever was started is stopped by its
# id, the newest first, however the script ends.
#
#   COLLECTIVE   the executable; dist/collective of this repository unless told
set -eu

collective=${COLLECTIVE:-$here/../../dist/collective}

die() {
  echo "run.sh: $*" >&2
  exit 1
}

[ -x "$collective" ] || die "$collective is missing; build it with: npm run build"

work=$(mktemp -d)
mkdir "$work/processes"
running=

clean_up() {
  for name in $running; do
    kill "$(cat "$work/processes/$name.pid")" 2>/dev/null || true
  done
  for name in $running; do
    wait "$(cat "$work/processes/$name.pid")" 2>/dev/null || true
  done
  running=
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# The words to put before a command of this member; none unless the script says otherwise.
wrapper_of() {
  :
}

# launch MEMBER NAME ARGUMENT…: runs `collective ARGUMENT…` in the background, with the member's home.
# Relative data directories start in $work.
launch() {
  member=$1
  name=$2
  shift 2
  : >"$work/processes/$name.ready"
  (
    cd "$work"
    export COLLECTIVE_HOME="$work/homes/$member"
    # shellcheck disable=SC2046 # words, or nothing
    exec $(wrapper_of "$member") "$collective" "$@"
  ) >"$work/processes/$name.ready" 2>"$work/processes/$name.log" &
  echo $! >"$work/processes/$name.pid"
  running="$name $running"
}

# until_ready NAME…: waits for the line that each prints when it serves, and shows it.
until_ready() {
  for name in "$@"; do
    tries=0
    until grep '^ready ' "$work/processes/$name.ready"; do
      tries=$((tries + 1))
      if [ "$tries" -gt 300 ] || ! kill -0 "$(cat "$work/processes/$name.pid")" 2>/dev/null; then
        echo "run.sh: $name did not start:" >&2
        cat "$work/processes/$name.log" >&2
        exit 1
      fi
      sleep 0.1
    done
  done
}

# address_of NAME: host:port, once it is ready.
address_of() {
  sed -n 's/^ready .* address=//p' "$work/processes/$1.ready"
}

forget() {
  rest=
  for other in $running; do
    [ "$other" = "$1" ] || rest="$rest $other"
  done
  running=$rest
}

# stop NAME: SIGTERM; it has to end well.
stop() {
  pid=$(cat "$work/processes/$1.pid")
  forget "$1"
  kill "$pid"
  wait "$pid" || die "$1 did not stop well: $(tail -n 1 "$work/processes/$1.log")"
}

# stop_all: all that is running, the newest first.
stop_all() {
  for name in $running; do
    stop "$name"
  done
}

# kill_hard NAME: SIGKILL, as a power cut would.
kill_hard() {
  pid=$(cat "$work/processes/$1.pid")
  forget "$1"
  printf '\nkill -9 %s (%s)\n' "$pid" "$1"
  kill -9 "$pid"
  wait "$pid" 2>/dev/null || true
}

# quietly MEMBER ARGUMENT…: a command of the member's administrator.
quietly() {
  member=$1
  shift
  (
    # The context that the coordinator wrote says where it is.
    unset COLLECTIVE_COORDINATOR_ADDRESS
    export COLLECTIVE_HOME="$work/homes/$member"
    # shellcheck disable=SC2046 # words, or nothing
    exec $(wrapper_of "$member") "$collective" "$@"
  )
}

# as MEMBER ARGUMENT…: the same, and shows it.
as() {
  member=$1
  shift
  printf '\n%s$ collective %s\n' "$member" "$*"
  quietly "$member" "$@"
}

# refused MEMBER CODE ARGUMENT…: has to end with this exit code.
refused() {
  member=$1
  expected=$2
  shift 2
  printf '\n%s$ collective %s\n' "$member" "$*"
  code=0
  quietly "$member" "$@" >"$work/refused" 2>&1 </dev/null || code=$?
  cat "$work/refused"
  [ "$code" = "$expected" ] || die "that should have ended with exit code $expected, not $code"
}

# eventually COMMAND…: repeats it until it succeeds, for half a minute at most.
eventually() {
  tries=0
  until "$@" >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -le 150 ] || die "this did not come true: $*"
    sleep 0.2
  done
}

# peer MEMBER OTHER: the two become peers by one code.
peer() {
  code=$(quietly "$1" invite generate --for member --quiet)
  printf '\n%s$ collective invite generate --for member --quiet\n%s\n' "$1" "$code"
  as "$2" federation peer add "$code"
}

# sees_alive MEMBER COUNT: whether it sees so many others, and all of them alive.
sees_alive() {
  quietly "$1" federation status | grep -q "^[^ ]*  $2 of $2 other members\{0,1\} alive"
}
