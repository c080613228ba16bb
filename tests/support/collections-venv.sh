#!/bin/sh
# Prints the path of a Python interpreter that has the pinned ansible-core and what filters of collections need, and makes it where it is not there yet.
exec "$(dirname "$0")/venv.sh" collections ansible-core==2.19.14 jinja2==3.1.6 jmespath==1.0.1 netaddr==1.3.0
