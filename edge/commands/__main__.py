"""``python -m edge.commands`` is the same as ``darklane``."""

from edge.commands import main

main()
