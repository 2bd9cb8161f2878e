"""Facts as the lake holds them: how far sources have delivered, what they promised, which files were set aside."""
