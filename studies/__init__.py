"""Modes beyond the graded ones and their reports: one file each."""

MODES = {
    "demo_data": (
        "KIND",
        "OUT_DIR",
        "studies.demo_data.demo_data",
        "write data sets that need no download; KIND: digits",
    ),
}
