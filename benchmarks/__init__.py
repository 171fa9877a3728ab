"""What is measured, one command each: `python -m benchmarks.NAME`; `make bench` runs them all."""
