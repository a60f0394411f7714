"""Reshape: split and merge of patients, studies, series and instances."""
