#!/usr/bin/env bash
# Counts, without a Redis client and without losing a count however many run at once:  counter.sh NAME
# bash can speak to the server by itself: one line out, one line back.
set -euo pipefail
name=${1:?usage: counter.sh NAME}
exec 3<>"/dev/tcp/${CHRONOS_HOST:-127.0.0.1}/${CHRONOS_PORT:-8080}"
printf 'INCR counter:%s\n' "$name" >&3
read -r count <&3
case $count in ERR*) echo "$count" >&2; exit 1 ;; esac
echo "$count"
