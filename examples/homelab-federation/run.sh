#!/bin/sh
# Starts three members with three nodes each, peers them, and shows that what one stores the others fetch, byte by byte,
# also when a node is killed; and that what is stored with copies at all three outlives the loss of all own nodes.
# Then it stops all twelve processes and leaves nothing behind.
#
#   COLLECTIVE   the executable; dist/collective of this repository unless told
#   COLLECTIVE_COORDINATOR_ADDRESS, COLLECTIVE_BOOTSTRAP_ADDRESS, COLLECTIVE_NODE_ADDRESS,
#   COLLECTIVE_METRICS_ADDRESS   other addresses than those of the configuration, for all: 127.0.0.1:0 is any port
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"

members="alice bob carol"
nodes="node-01 node-02 node-03"
# What each member lends to the others.
pledge=1GB

name_of() {
  sed -n 's/.*"member_id": "\(.*\)".*/\1/p' "$here/$1/coordinator.json"
}

started=$(date +%s)
for member in $members; do
  launch "$member" "$member" serve -c "$here/$member/coordinator.json"
done
# shellcheck disable=SC2086 # words
until_ready $members
for member in $members; do
  # Where the coordinator really listens, whatever the configuration says.
  COLLECTIVE_COORDINATOR_ADDRESS=$(address_of "$member")
  export COLLECTIVE_COORDINATOR_ADDRESS
  for node in $nodes; do
    launch "$member" "$member-$node" serve -c "$here/$member/$node.json"
  done
done
unset COLLECTIVE_COORDINATOR_ADDRESS
for member in $members; do
  for node in $nodes; do
    until_ready "$member-$node"
  done
done

peer alice bob
peer alice carol
for member in $members; do
  eventually sees_alive "$member" 2
done
printf '\nThree members with three nodes each are up and peered after %s s.\n' $(($(date +%s) - started))

photos="$work/photos"
mkdir "$photos"
cp -R "$here" "$photos/configuration"
dd if=/dev/urandom of="$photos/film.bin" bs=1048576 count=16 2>/dev/null

alice=$(name_of alice)
as alice mkdir /photos
as alice put -r "$photos" /photos
as alice access grant /photos '*@*.collective.local' --rights read

eventually quietly bob stat "/@$alice/photos/photos/film.bin"
as bob get -r "/@$alice/photos/photos" "$work/fetched-by-bob"
diff -r "$photos" "$work/fetched-by-bob"
printf 'What bob fetched is what alice stored.\n'

kill_hard alice-node-02
as carol get -r "/@$alice/photos/photos" "$work/fetched-by-carol"
diff -r "$photos" "$work/fetched-by-carol"
printf "What carol fetched is what alice stored, though one of alice's nodes is dead.\n"
refused carol 4 rm -r "/@$alice/photos/photos"

for member in $members; do
  as "$member" federation pledge "$pledge"
done
# Once alice has heard of it, her copies go there.
knows_pledges() {
  [ "$(quietly alice federation status --json | grep -c '"pledged": [1-9]')" = 3 ]
}
eventually knows_pledges
as alice store create vault --strategy backup --replicas 3
as alice put -r "$photos" /vault
kill_hard alice-node-01
kill_hard alice-node-03
as alice get -r /vault/photos "$work/fetched-from-friends"
diff -r "$photos" "$work/fetched-from-friends"
printf 'Everything came back from bob and carol, with all nodes of alice dead.\n'

# A coordinator misses a node after a few seconds of silence.
misses_node() {
  quietly alice status | grep -q '^node-02  *\(suspect\|dead\)'
}
eventually misses_node
as alice status
as carol federation status

stop_all
printf '\nstopped\n'
