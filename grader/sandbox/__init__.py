"""Run one untrusted command under limits. This room knows nothing about assignments.

Import from outside: `command` (what is run, levels, limits), `isolation` (`run`, the best level),
`resources` (temporary folders, locks) and `launcher`, the program between the grader and the
command.
"""
