"""How one step of an assessment ended."""

from enum import StrEnum


class Verdict(StrEnum):
    OK = "OK"
    WRONG_FORMAT = "WRONG_FORMAT"
    RUNTIME_ERROR = "RUNTIME_ERROR"
    TIME_LIMIT = "TIME_LIMIT"
    MEMORY_LIMIT = "MEMORY_LIMIT"
    OUTPUT_LIMIT = "OUTPUT_LIMIT"
    FORBIDDEN = "FORBIDDEN"
    SKIPPED = "SKIPPED"
    ENVIRONMENT = "ENVIRONMENT"  # an allowed package is missing here; not the student's fault
    INTERNAL = "INTERNAL"
