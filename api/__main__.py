"""The operator's command line: ``python -m api``."""

from api.cli import main

main(prog_name="python -m api")
