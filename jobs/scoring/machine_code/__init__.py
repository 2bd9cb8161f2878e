"""The kernels' machine code: compiled by numba, kept on disk, and run again without numba."""
