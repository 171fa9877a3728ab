"""Modes beyond the graded ones and their reports: one file each."""

MODES = {
    "demo_data": (
        "KIND",
        "OUT_DIR",
        "studies.demo_data.demo_data",
        "write data that need no download; KIND: digits, image",
    ),
    "segment": (
        "IMAGE",
        "OUT_DIR",
        "studies.segment.segment",
        "cut an image into parts by k-means and by spectral clustering",
    ),
}
