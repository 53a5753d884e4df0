"""The commands of ``lbwdet``, grouped by idea; :mod:`lbwdet.cli` lists and runs them.

A command is a function that adds its flags to a parser and returns what runs it. The work is
a call of the library, which is imported only then: ``--help`` and a mistyped flag answer at once.
A settings object is filled by the names of its fields: a flag of that name is that field.
"""
