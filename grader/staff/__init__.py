"""What staff do with a graded class: mark by hand, answer requests, look at it, send grades out.

Import from outside: `marking_commands` and `grade_commands` (the command line).
"""
