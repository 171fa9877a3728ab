"""Scores submissions of the course: `python -m grader --help`."""
