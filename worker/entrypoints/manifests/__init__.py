"""Manifests: files that say what there shall be, compared with what is, and carried out."""
