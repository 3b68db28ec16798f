"""`python -m genkan` is the command `genkan`."""

from genkan.cli import main

main(prog_name="genkan")
