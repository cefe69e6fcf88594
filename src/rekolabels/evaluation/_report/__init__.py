"""Reports on an evaluation: page, picture, tables, notebook displays and exports."""
