"""Kernels: tree ensembles laid out for throughput, and the loops over them."""
