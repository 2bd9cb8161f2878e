"""Examples that authors write beside their SQL, run without a lake (`almanac test`)."""
