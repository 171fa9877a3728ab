#!/bin/sh
# Installs what vae.py needs into the Python environment that is active.
set -eu
cd "$(dirname "$0")"
exec python3 -m pip install --requirement requirements.lock
