#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
HOST=$(printf '%s' "$QUERY_STRING" | sed 's/^host=//')
eval "ping -c 1 $HOST"
