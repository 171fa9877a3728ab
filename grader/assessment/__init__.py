"""Assess one submission: run its stages on copies of the data, probe it, and score its files.

Import from outside: `pipeline` (`assess` does everything in order), `stages` (settings), `copies`
(the data sets) and `grade` (the outcome).
"""
