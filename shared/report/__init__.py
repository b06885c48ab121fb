"""Markdown, tables, figures, PDF and HTML from tidy tables and verdicts. Never imports torch."""
