#!/bin/sh
# Two sites, each in a network namespace of its own, joined by a line with latency and loss: the members peer by a code and read
# from each other across it. Namespaces and line are made for this and removed at the end; nothing of it touches
# the network of this machine. It takes root, Linux and ip; where the machine does not allow it, it says so and ends with 0.
#
#   run.sh           does it
#   run.sh --check   only says why it would be skipped, or nothing
#
#   COLLECTIVE   the executable; dist/collective of this repository unless told
here=$(cd "$(dirname "$0")" && pwd)

delay=20ms
loss=1%
alice_address=10.77.0.1
bob_address=10.77.0.2
# Of this run alone.
prefix=collective-$$
namespaces=

skip() {
  printf 'skipped: %s\n' "$*"
  exit 0
}

remove_namespaces() {
  for name in $namespaces; do
    ip netns delete "$prefix-$name" 2>/dev/null || true
  done
  namespaces=
}

make_namespaces() {
  command -v ip >/dev/null 2>&1 || skip "two network namespaces take the command ip, of the package iproute2"
  for name in alice bob; do
    ip netns add "$prefix-$name" 2>/dev/null || skip "this machine does not let me make a network namespace; it takes root on Linux"
    namespaces="$namespaces $name"
  done
  # Both ends are born inside: the line is never seen outside.
  ip link add line netns "$prefix-alice" type veth peer name line netns "$prefix-bob" 2>/dev/null ||
    skip "this kernel has no pairs of virtual network devices (veth)"
}

trap remove_namespaces EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
make_namespaces
[ "${1:-}" != --check ] || exit 0

. "$here/../common.sh"
trap 'clean_up; remove_namespaces' EXIT

wrapper_of() {
  echo "ip netns exec $prefix-$1"
}

# connect MEMBER ADDRESS: its end of the line.
connect() {
  ip -n "$prefix-$1" link set lo up
  ip -n "$prefix-$1" address add "$2/24" dev line
  ip -n "$prefix-$1" link set line up
}
worsen() {
  tc -n "$prefix-$1" qdisc add dev line root netem delay "$delay" loss "$loss" 2>/dev/null
}
connect alice "$alice_address"
connect bob "$bob_address"
if worsen alice && worsen bob; then
  printf 'a line with %s delay and %s loss in each direction\n' "$delay" "$loss"
else
  printf 'skipped: delay and loss, for this machine lacks netem or tc; the line is as it is\n'
fi

alice=alice@home.collective.local
bob=bob@garage.collective.local

for member in alice bob; do
  printf '%s$ collective serve -c %s.json\n' "$member" "$member"
  launch "$member" "$member" serve -c "$here/$member.json"
done
until_ready alice bob

peer alice bob
eventually sees_alive alice 1
eventually sees_alive bob 1
printf '\nThe two sites see each other alive.\n'

dd if=/dev/urandom of="$work/film.bin" bs=1048576 count=8 2>/dev/null
echo 'For bob.' >"$work/letter.txt"
for member in alice bob; do
  as "$member" store create shared --replicas 1
  as "$member" store create private --replicas 1
  as "$member" write /private/diary.txt <"$work/letter.txt"
done
as alice put "$work/film.bin" /shared
as alice access grant /shared "$bob" --rights read
as bob write /shared/letter.txt <"$work/letter.txt"
as bob access grant /shared "$alice" --rights read

eventually quietly bob stat "/@$alice/shared/film.bin"
as bob get "/@$alice/shared/film.bin" "$work/fetched.bin"
cmp "$work/film.bin" "$work/fetched.bin"
eventually quietly alice read "/@$bob/shared/letter.txt"
as alice read "/@$bob/shared/letter.txt"
refused bob 3 read "/@$alice/private/diary.txt"
refused alice 3 read "/@$bob/private/diary.txt"
printf '\nEach read across the line what was granted to it, and was refused what was not.\n'

as bob federation status
stop_all
printf '\nstopped\n'
