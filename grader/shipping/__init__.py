"""Prepare files for others: one vae.py, submission.zip, the autograder for Gradescope.

Import from outside: `bundle`, `package` and `gradescope`.
"""
