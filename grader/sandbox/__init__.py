"""Run one untrusted command under limits. This room knows nothing about assignments.

Import from outside: `isolation` (levels, limits, `run`) and `launcher`, the program between the
grader and the command.
"""
