"""One self-contained HTML file of what was found of a product's pages: plots are SVG within, and nothing is fetched."""
