"""What staff do with a graded class: mark by hand, answer requests, look at it, send grades out.

Import from outside: `staff_commands` (the command line).
"""
