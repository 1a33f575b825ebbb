"""Everything that can go wrong outside of the program, one test for each case."""
