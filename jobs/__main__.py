"""`python -m jobs`: the same as `almanac`."""

from jobs.cli import main

if __name__ == "__main__":
    main()
