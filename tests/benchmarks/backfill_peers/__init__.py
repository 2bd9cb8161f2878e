"""The feature pages of a product as other tools would make them: one query a page, a dbt project, a SQLMesh project."""
