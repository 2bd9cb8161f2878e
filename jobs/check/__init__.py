"""Production, seen from outside: what a change would do to it, which definitions are live, and how lakes are."""
