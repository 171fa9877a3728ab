"""Grade a class: its runs and workers, weights behind links, gradebook, statistics, similarity.

Import from outside: `class_commands` (the command line), `class_run`, `fetch` and `lateness`.
"""
