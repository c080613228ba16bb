#!/bin/sh
echo no token >&2
exit 4
