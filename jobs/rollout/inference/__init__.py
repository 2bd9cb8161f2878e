"""What a rollout's pages say, and what is decided on it. Pure: figures in, decisions out, and no lake."""
