"""Show the outcome of an assessment: as JSON, on the terminal, as a page.

Import from outside: `results` (JSON and terminal), `result_page` (HTML), `evidence` (what people
mark, as JSON) and `markdown` (as HTML).
"""
