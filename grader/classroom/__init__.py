"""A graded class: runs and workers, fetched weights, roster, marks, gradebook, similarity.

Import from outside: `class_commands` (the command line), `class_run`, `fetch`, `lateness`,
`ledger`, `open_book`, `gradebook`, `marks`, `mark_tables`, `roster`, `similarity` and `tables`.
"""
