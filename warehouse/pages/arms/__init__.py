"""Beside pages: the rows that arms of rollouts scored and did not serve."""
