"""Run the command line, or print in one line why this Python cannot."""

import sys

ADVICE = "expected an active environment made by 'sh install.sh' or 'make demo'"


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036
        found = ".".join(map(str, sys.version_info[:2]))
        print(f"grader: Python {found}; expected Python 3.11 or later", file=sys.stderr)
        return 2
    try:
        from .cli import main
    except ModuleNotFoundError as error:
        print(f"grader: {sys.executable} has no {error.name}; {ADVICE}", file=sys.stderr)
        return 2
    return main()


if __name__ == "__main__":
    sys.exit(main())
