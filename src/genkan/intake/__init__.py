"""
What other systems export of people, read: `people` turns the lines of a file into people, each with its place in it.

`records` cuts a file into records, `formats` makes a person of each. Nothing is looked up or written here; a record
that is no use is a value too, and says why.
"""
