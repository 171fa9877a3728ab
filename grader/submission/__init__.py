"""What was handed in: unpack it, and check its contents and its code without running them.

Import from outside: `unpacking` (a submission as a folder), `contents` (which files it must have),
`rules` (what its code may do), `notebook` (cells, and the Python in them), `notebook_checks` (an
assignment's checks on them), `images` (pictures as pixels), `pdf` (the report's pages), `run_time`
(what it imported when it ran), `hiding` (which packages it does not see), `size` (how many numbers
it has) and `check` (all rules of an assignment).
"""
