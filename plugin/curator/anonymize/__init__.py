"""Anonymize: profiles on PS3.15 annex E, from their JSON to changed instances."""
