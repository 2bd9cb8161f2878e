"""What the pages to look at are made of: paths, questions to the lake, cells, sections, plots and calendars."""
