"""`python -m filterscope` is the program `filterscope`."""

from filterscope.commands import main

if __name__ == "__main__":
    main()
