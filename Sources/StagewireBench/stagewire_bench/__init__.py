"""The benchmark: what is measured (systems, matrix, slow, scale, life), how (run, counters, process), and how it is told
(statistics, tables, report, plot). bench.py beside this package is the program."""
