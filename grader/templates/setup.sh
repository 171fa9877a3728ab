#!/usr/bin/env bash
# Run once by Gradescope, as root, when it builds the image: Python 3.11 or later in a folder of its
# own, what the grader needs, and bubblewrap. Stops at the first failure, and the build with it.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
source_folder="$(cd "$(dirname "$0")" && pwd)"
home=/usr/local/lib/vae-grader

apt-get update --quiet
apt-get install --yes --quiet bubblewrap

# Ubuntu 22.04's own python3 is older, and Gradescope's harness needs it as it is.
python=""
for candidate in python3.13 python3.12 python3.11 python3; do
    candidate="/usr/bin/$candidate"  # one below root's home would be closed to submissions
    if "$candidate" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python="$candidate"
        break
    fi
done
if [ -z "$python" ]; then
    apt-get install --yes --quiet python3.11 python3.11-venv
    python=/usr/bin/python3.11
fi
"$python" -m venv --clear "$home"

# PyTorch's own index has the build without gigabytes of CUDA.
export PIP_EXTRA_INDEX_URL="${PIP_EXTRA_INDEX_URL-https://download.pytorch.org/whl/cpu}"
"$home/bin/python" -m pip install --quiet --no-cache-dir --requirement "$source_folder/grader/requirements.lock"
chmod -R a+rX "$home"
cd "$source_folder"
"$home/bin/python" -c 'import torch; torch.zeros(1) + 1'
"$home/bin/python" -m grader doctor
