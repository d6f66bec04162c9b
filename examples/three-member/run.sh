#!/bin/sh
# Starts three members, peers them, and shows for all pairs, in both directions, that what was granted is read
# and what was not is refused. Then it stops them and leaves nothing behind.
#
#   COLLECTIVE   the executable; dist/collective of this repository unless told
#   COLLECTIVE_COORDINATOR_ADDRESS, COLLECTIVE_BOOTSTRAP_ADDRESS, COLLECTIVE_NODE_ADDRESS,
#   COLLECTIVE_METRICS_ADDRESS   other addresses than those of the configuration, for all three: 127.0.0.1:0 is any port
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../common.sh"

members="alice bob carol"
name_of() {
  sed -n 's/.*"member_id": "\(.*\)".*/\1/p' "$here/$1.json"
}

started=$(date +%s)
for member in $members; do
  printf '%s$ collective serve -c %s.json\n' "$member" "$member"
  launch "$member" "$member" serve -c "$here/$member.json"
done
# shellcheck disable=SC2086 # words
until_ready $members

peer alice bob
peer alice carol
for member in $members; do
  eventually sees_alive "$member" 2
done
printf '\nThree members are up and peered after %s s, bob and carol introduced by alice.\n' $(($(date +%s) - started))

for owner in $members; do
  # One node can keep one copy, so one copy is what these ask for.
  as "$owner" store create shared --replicas 1
  as "$owner" store create private --replicas 1
  echo "For my friends, from $owner." >"$work/$owner.letter"
  echo "For nobody but $owner." >"$work/$owner.diary"
  as "$owner" write /shared/letter.txt <"$work/$owner.letter"
  as "$owner" write /private/diary.txt <"$work/$owner.diary"
  for reader in $members; do
    [ "$reader" = "$owner" ] || as "$owner" access grant /shared "$(name_of "$reader")" --rights read
  done
done

for owner in $members; do
  there="/@$(name_of "$owner")"
  for reader in $members; do
    [ "$reader" != "$owner" ] || continue
    # A node hears of a new peer with a heartbeat, within a second or two.
    eventually quietly "$reader" read "$there/shared/letter.txt"
    as "$reader" read "$there/shared/letter.txt" >"$work/shown"
    cat "$work/shown"
    tail -n 1 "$work/shown" | diff "$work/$owner.letter" -
    refused "$reader" 3 read "$there/private/diary.txt"
    refused "$reader" 4 write "$there/shared/other.txt"
  done
done
printf '\nAll six read what was granted to them, and were refused what was not.\n'

for member in $members; do
  as "$member" ls /
done
as bob federation status

stop_all
printf '\nstopped\n'
