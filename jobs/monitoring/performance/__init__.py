"""How published predictions did: each page's figures, what its predictions allowed, and the evidence of more loss."""
