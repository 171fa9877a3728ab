"""Grade a class: its runs and workers, weights behind links, gradebook, statistics, similarity.

Import from outside: `class_commands` (the command line), `runs`, `fetch` and `lateness`.
"""
