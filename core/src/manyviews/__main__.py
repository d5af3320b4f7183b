"""`python -m manyviews` is the command line, of the Python that it is said to."""

from manyviews.cli.main import main

if __name__ == "__main__":
    main()
