"""The book: the pages of a run bound together, with contents, search, claims, glossary and a start."""
