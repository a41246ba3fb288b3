"""The contest of `make bench-energy`: one year, one device, a stream of offers, several ways to decide."""
