"""Run one untrusted command under limits. This room knows nothing about assignments.

Import from outside: `command` (what is run, levels, limits), `isolation` (`run`, the best level),
`resources` (temporary folders, locks), `launcher`, the program between the grader and the command,
and two programs that run inside: `caller` (calls functions) and `notebook_runner`.
"""
