"""The change journal: one log of all business changes of a node, written in the transaction that makes them.

Reading order: `models` (change set, change, stamp, channel), `journal` (how business code writes), `channel` (how one
reader per channel numbers and reads), `retention` (how old rows leave). Numbers are given on reading, never on writing:
a number taken at insert skips rows that commit late. What a change means belongs to the chapter that wrote it.
"""
