"""Answers as they are shown: values, sentences and JSON views."""
