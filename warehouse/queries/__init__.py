"""Authors' queries: checked, their functions allowed or refused, their inexact sums found."""
