#!/bin/sh
# Install what vae.py needs, and the command vae-grader, into the active Python environment.
set -eu
cd "$(dirname "$0")"
python3 -m pip install --requirement requirements.lock
exec python3 -m pip install --no-deps .
