"""Sieves: what tells, while candidates of ranked lists stream by, which of them cannot be listed any more."""
