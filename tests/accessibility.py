"""Check pages in a browser with axe-core, for everybody who cannot see, hear or point well."""

from typing import Any

import pytest


def violations(page: Any) -> list[str]:
    """Return what axe-core finds wrong with a page of Playwright, a line for each element."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{rule['id']}: {rule['help']}: {node['target']}"
        for rule in found
        for node in rule["nodes"]
    ]
