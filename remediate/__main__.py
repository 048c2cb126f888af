"""Entry of the command line: `remediate` and `python -m remediate`."""

from remediate.interfaces.cli.main import main

if __name__ == "__main__":
    main()
