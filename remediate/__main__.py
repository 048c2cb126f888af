"""Entry of the command line: `remediate` and `python -m remediate`."""

from __future__ import annotations

import sys

from remediate.interfaces.cli import help_page


def main() -> None:
    """Answer a call for help from what is kept, and everything else by the whole program."""
    if sys.argv[1:] in help_page.ASKING and (page := help_page.kept_page()):
        sys.stdout.write(f"{page}\n")
        return
    from remediate.interfaces.cli.main import main as whole  # noqa: PLC0415  # a kept page must not pay for it

    whole()


if __name__ == "__main__":
    main()
