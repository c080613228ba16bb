#!/bin/sh
# Prints the path of a Python interpreter that has the pinned ansible-core, and makes it where it is not there yet.
exec "$(dirname "$0")/venv.sh" oracle ansible-core==2.19.14 jinja2==3.1.6 passlib==1.7.4
