"""Recordings of sound through any model, into a folder of results: what rooms share.

`reading`: which files there are, and their windows. `prediction`: file after file, and
the report. `heard`: events in words, tables and pictures. `clock`: times of day.
"""
