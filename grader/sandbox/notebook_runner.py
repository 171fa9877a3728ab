"""Run a notebook from top to bottom with Jupyter's kernel, as one would with "run all cells".

    python notebook_runner.py NOTEBOOK RESULT

RESULT is the notebook with its outputs, up to the first cell that ends with an error; then the exit
status is 1. The kernel talks over sockets in a private folder, because there is no network.
"""

import os
import sys
import tempfile

os.environ["JUPYTER_RUNTIME_DIR"] = tempfile.mkdtemp()
os.environ["IPYTHONDIR"] = tempfile.mkdtemp()

import nbclient
import nbformat
from traitlets.config import Config


def main() -> int:
    notebook = nbformat.read(sys.argv[1], as_version=4)
    config = Config()
    config.KernelManager.transport = "ipc"
    client = nbclient.NotebookClient(
        notebook, timeout=None, coalesce_streams=True, record_timing=False, config=config
    )
    status = 0
    try:
        client.execute()
    except nbclient.exceptions.CellExecutionError as error:
        print(error, file=sys.stderr)
        status = 1
    nbformat.write(notebook, sys.argv[2])
    return status


if __name__ == "__main__":
    sys.exit(main())
