"""The command line `almanac`: reads the clock, parses arguments, prints."""
