#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
HOST=$(printf '%s' "$QUERY_STRING" | sed 's/^host=//' | tr -cd 'A-Za-z0-9.:-')
ping -c 1 -- "$HOST"
