"""Evaluations to read: a page, a picture, tables, notebook displays, exports."""
