"""``python -m attribution_bench``: the command line, where its script is not on the path."""

from attribution_bench.cli import main

if __name__ == "__main__":
    main()
